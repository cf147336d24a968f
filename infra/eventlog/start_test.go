package eventlog_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestStartGivesTheWorkerWhatItNeeds(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		r := want("a")
		r.Payload, r.TimeoutMs, r.Traceparent = []byte(`{"n":12345678901234567890}`), 5, "00-1-2-03"
		h.request(r)
		h.due("q")
		a := h.take("a", "w1")
		before := must(h.log.Now(t.Context()))(h)
		s := must(h.log.Start(t.Context(), a, time.Minute))(h)
		task := h.task("a")
		if string(s.Payload) != string(r.Payload) || s.TimeoutMs != 5 || s.Traceparent != r.Traceparent || s.Label != r.Label || s.MaxAttempts != 2 {
			t.Errorf("got %+v", s)
		}
		if s.Attempts != 1 || s.DueAt != task.DueAt || s.Event != task.Events[2] {
			t.Errorf("got %+v, and the task is %+v", s, task)
		}
		if until := time.UnixMilli(s.LeaseUntil).Sub(before); until < time.Minute-time.Millisecond || until > time.Minute+10*time.Second {
			t.Errorf("the lease ends in %s", until)
		}
		if end := h.rdb.ZScore(t.Context(), h.p.Leases, "a").Val(); int64(end) != s.LeaseUntil {
			t.Errorf("the ledger says that the lease ends at %f, the answer %d", end, s.LeaseUntil)
		}
		if ttl := h.rdb.PTTL(t.Context(), h.p.Lock("a")).Val(); h.locked("a") != a.Token || ttl <= 0 || ttl > time.Minute {
			t.Errorf("the mutex is %q for %s", h.locked("a"), ttl)
		}
		h.expect("a", "Requested Due Started(1,w1)")
	})
}

func TestStartIsRepeatable(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		h.due("q")
		a := h.take("a", "w1")
		first := must(h.log.Start(t.Context(), a, hour))(h)
		must(h.rdb.Del(t.Context(), h.p.Lock("a")).Result())(h) // the mutex may have expired in between
		h.unchanged(func() {
			again := must(h.log.Start(t.Context(), a, 2*hour))(h)
			if ttl := h.rdb.PTTL(t.Context(), h.p.Lock("a")).Val(); h.locked("a") != a.Token || ttl <= hour {
				t.Errorf("the mutex is %q for %s", h.locked("a"), ttl)
			}
			if again.Event != first.Event || again.Attempts != first.Attempts || again.DueAt != first.DueAt {
				t.Errorf("got %+v, at first %+v", again, first)
			}
			if end := h.rdb.ZScore(t.Context(), h.p.Leases, "a").Val(); int64(end) != again.LeaseUntil {
				t.Errorf("the ledger says that the lease ends at %f, the answer %d", end, again.LeaseUntil)
			}
		})
	})
}

func TestStartNeedsTheMutex(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		h.due("q")
		a := h.take("a", "w1")
		h.lock(h.take("a", "w2"))
		h.unchanged(func() {
			if _, err := h.log.Start(t.Context(), a, hour); !errors.Is(err, eventlog.ErrLocked) {
				t.Errorf("while another has it: %v", err)
			}
		})
		h.start("a", "w2") // it has it already
		h.expect("a", "Requested Due Started(1,w2)")
	})
}

func TestStartRemovesADispatchEntryThatIsOutOfDate(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("done", "cancelled", "running")
		h.due("q")
		done, cancelled, running := h.take("done", "w1"), h.take("cancelled", "w1"), h.take("running", "w1")
		must(h.log.Complete(t.Context(), h.start("done", "w0"), 0, nil))(h)
		must(h.log.Cancel(t.Context(), "cancelled", "test", ""))(h)
		h.start("running", "w0")
		gone := eventlog.Attempt{Task: "gone", Queue: "q", Number: 1, Token: "x", Worker: "w1"}
		for _, test := range []struct {
			attempt eventlog.Attempt
			want    eventlog.FencedError
		}{
			{done, eventlog.FencedError{State: events.StateCompleted, Attempt: 1}},
			{cancelled, eventlog.FencedError{State: events.StateCancelled}},
			{running, eventlog.FencedError{State: events.StateActive, Attempt: 1}},
			{gone, eventlog.FencedError{}},
		} {
			a := test.attempt
			id := must(h.rdb.Do(t.Context(), "XADD", h.p.Due("q"), "*", "task", a.Task, "attempt", 1).Text())(h)
			a.Entry = must(events.ParseID(id))(h)
			mutex := h.locked(a.Task)
			h.unchanged(func() {
				for range 2 {
					_, err := h.log.Start(t.Context(), a, hour)
					if fenced, ok := errors.AsType[*eventlog.FencedError](err); !ok || *fenced != test.want {
						t.Errorf("start %s: %v, want %+v", a.Task, err, test.want)
					}
				}
			})
			if after := h.locked(a.Task); after != mutex {
				t.Errorf("start %s: the mutex was %q and is %q", a.Task, mutex, after)
			}
		}
		if left := h.dispatched("q"); len(left) > 0 {
			t.Errorf("entries are left: %v", left)
		}
	})
}

func TestOneOfManyWorkersStartsAnAttempt(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		h.due("q")
		a := h.take("a", "w1")
		var wg sync.WaitGroup
		for i := range 20 {
			a := a
			a.Token += string(rune('a' + i))
			wg.Go(func() {
				_, err := h.log.Start(t.Context(), a, hour)
				if err != nil && !errors.Is(err, eventlog.ErrLocked) && !errors.Is(err, eventlog.ErrFenced) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		h.expect("a", "Requested Due Started(1,w1)")
	})
}
