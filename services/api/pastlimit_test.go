package api_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/api"
)

// farOff says that reading the log took too long, and what helps.
func farOff(t *testing.T, r reply) {
	t.Helper()
	isProblem(t, r, http.StatusGatewayTimeout)
	if kind := r.field(t, "type"); kind != "urn:tasklog:problem:far-past" || r.field(t, "field") != "at" {
		t.Errorf("it is %s: %s", kind, r.body)
	}
	for _, what := range []string{"far from a snapshot", "longer than", "`tasklog at ", "TASKLOG_SNAPSHOT_EVERY"} {
		if !strings.Contains(r.body, what) {
			t.Errorf("without %q: %s", what, r.body)
		}
	}
	if after := r.header.Get("Retry-After"); after != "" {
		t.Errorf("it can be asked for again after %s s", after)
	}
}

func TestAnInstantFarFromASnapshotIsNotBlamedOnRedis(t *testing.T) {
	h := build(t, api.Config{PastTimeout: time.Millisecond}, 1)
	testredis.Write(t, h.log, h.log.Partitions()[0], simulation.Make(simulation.Config{Seed: 1, Events: 20_000}).Events...)
	at := h.newest().String()
	farOff(t, h.get("/api/queues?at="+at))
	farOff(t, h.get("/api/tasks?at="+at))
	farOff(t, h.get("/api/tasks/unknown?at="+at))
	r := h.get("/admin/past?at=" + at)
	if r.status != http.StatusGatewayTimeout || !strings.Contains(r.body, "far from a snapshot") || !strings.Contains(r.body, "tasklog at "+at) {
		t.Errorf("the page says, with status %d: %s", r.status, r.body)
	}
}

// stuck holds what reads the log, as a long log does.
type stuck struct {
	reading  chan struct{} // hears of it
	released chan struct{} // ends it
	lost     bool          // Redis does not answer then
}

func (*stuck) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *stuck) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "xrange" {
			select {
			case s.reading <- struct{}{}:
			default:
			}
			<-s.released
		}
		select {
		case <-s.released:
			if s.lost {
				cmd.SetErr(os.ErrDeadlineExceeded)
				return os.ErrDeadlineExceeded
			}
		default:
		}
		return next(ctx, cmd)
	}
}

func (*stuck) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// ask asks for the past, and returns when the log is read for it. Its answer comes when that is released.
func (s *stuck) ask(h *house) <-chan reply {
	h.Helper()
	h.log.Conn().View.AddHook(s)
	answer := make(chan reply, 1)
	go func() {
		r, err := h.try(http.MethodGet, "/api/queues?at=now", "")
		if err != nil {
			h.Error(err)
		}
		answer <- r
	}()
	<-s.reading
	return answer
}

func newStuck() *stuck {
	return &stuck{reading: make(chan struct{}, 1), released: make(chan struct{})}
}

func TestWhoWaitedForAnotherToReadThePastMayAskAgain(t *testing.T) {
	h := build(t, api.Config{PastTimeout: 20 * time.Millisecond}, 1)
	s := newStuck()
	first := s.ask(h)
	r := h.get("/api/queues?at=now")
	close(s.released)
	isProblem(t, r, http.StatusServiceUnavailable)
	if kind, after := r.field(t, "type"), r.header.Get("Retry-After"); kind != "urn:tasklog:problem:past-busy" || after != "5" {
		t.Errorf("it is %s, after %q s: %s", kind, after, r.body)
	}
	farOff(t, <-first)
}

func TestARedisThatWentAwayWhileThePastWasReadIsSaidToBe(t *testing.T) {
	h := build(t, api.Config{PastTimeout: 20 * time.Millisecond}, 1)
	s := newStuck()
	s.lost = true
	first := s.ask(h)
	time.AfterFunc(40*time.Millisecond, func() { close(s.released) })
	r := <-first
	isProblem(t, r, http.StatusServiceUnavailable)
	if kind := r.field(t, "type"); kind != "urn:tasklog:problem:unavailable" || r.header.Get("Retry-After") != "1" {
		t.Errorf("it is %s: %s", kind, r.body)
	}
}
