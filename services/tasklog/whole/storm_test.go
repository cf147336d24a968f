package whole_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/worker"
)

// each calls f for every number below n, from many goroutines.
func each(n int, f func(i int)) {
	var all sync.WaitGroup
	const hands = 100
	for hand := range hands {
		all.Go(func() {
			for i := hand; i < n; i += hands {
				f(i)
			}
		})
	}
	all.Wait()
}

// request puts a task into the log.
func (h *house) request(queue, task string, runAt time.Time) {
	h.Helper()
	_, err := h.log.Request(h.Context(), eventlog.Request{
		Task: task, Label: events.Label{Queue: queue, Name: "t"},
		Definition: events.Definition{MaxAttempts: 1, RequestID: task}, RunAt: runAt,
	})
	if err != nil {
		h.Error(err)
	}
}

func noop(context.Context, worker.Task[json.RawMessage]) (any, error) { return nil, nil }

func TestAHundredThousandTasksDueAtOnceHoldUpNobody(t *testing.T) {
	n := 100_000
	if raced {
		n /= 20 // the race detector takes its time
	}
	srv := testredis.Start(t, "--slowlog-log-slower-than", "10000")
	h := on(t, srv, srv.URL(), 0, noop)
	now, err := h.log.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := now.Add(time.Duration(n) * 100 * time.Microsecond).Truncate(time.Second).Add(time.Second)
	each(n, func(i int) { h.request("storm", fmt.Sprint("t", i), at) })
	if late, err := h.log.Now(t.Context()); err != nil || late.After(at) {
		t.Logf("the storm began while tasks were asked for, %s ago: %v", late.Sub(at), err)
	}
	h.request("storm", "last", at)
	h.request("other", "beside", at) // of another queue: it waits for none of the storm
	left, seen, most := n+2, 0, int64(0)
	p := h.log.Partitions()[0]
	var beside time.Duration
	h.follow(func(e events.Event) bool {
		switch e.Data.(type) {
		case events.TaskDue:
			if ms := e.ID.Ms; ms < at.UnixMilli() {
				t.Errorf("%s became due %d ms early", e.Task, at.UnixMilli()-ms)
			}
			if seen++; seen%1000 == 0 {
				most = max(most, srv.Client().XLen(t.Context(), p.Due("storm")).Val())
			}
		case events.TaskCompleted:
			if e.Task == "beside" {
				beside = e.ID.Time().Sub(at)
			}
			left--
		default:
		}
		return left == 0
	})
	if limit := int64(2 * worker.DefaultConfig().Concurrency); most > limit {
		t.Errorf("the dispatch stream held %d entries, want %d at the most", most, limit)
	}
	if beside > 5*time.Second {
		t.Errorf("a task of another queue was completed %s late", beside)
	}
	slow, err := srv.Client().SlowLogGet(t.Context(), 10).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range slow {
		if !raced && s.Duration > 100*time.Millisecond { // on a machine that does other things, too
			t.Errorf("Redis was held for %s by %.60q", s.Duration, s.Args)
		}
		t.Logf("slow: %s %.60q", s.Duration, s.Args)
	}
	h.until("no lease is left", func() bool { return srv.Client().ZCard(t.Context(), p.Leases).Val() == 0 })
}

func TestNothingStartsAfterItWasCancelledHoweverCloseTheRace(t *testing.T) {
	n := 5000
	if raced {
		n /= 5
	}
	srv := testredis.Start(t)
	h := on(t, srv, srv.URL(), 0, noop)
	ways := map[string]int{}
	total := 0
	// Who comes first depends on how many are asked for before the first of them is cancelled, and on the machine.
	for _, some := range []int{10, 2, 50, 10} {
		if len(ways) >= 3 {
			break
		}
		from := total
		total += n
		each(n/some, func(i int) {
			task := func(j int) string { return fmt.Sprint("t", from+i*some+j) }
			for j := range some {
				h.request(events.DefaultQueue, task(j), time.Time{})
			}
			for j := range some {
				_, err := h.log.Cancel(t.Context(), task(j), "test", "")
				if refused, ok := errors.AsType[*eventlog.RefusedError](err); ok && refused.State == events.StateCompleted {
					continue
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
		clear(ways)
		for task, told := range h.stories(total) {
			ways[told]++
			if strings.Contains(told, "Cancelled ") || !strings.HasSuffix(told, "Cancelled") && !strings.HasSuffix(told, "Completed") {
				t.Errorf("%s: %s", task, told)
			}
		}
	}
	t.Log(ways)
	if len(ways) < 3 {
		t.Error("all of them went the same two ways: this proves nothing")
	}
}

func TestAfterEverythingWasFlushedTheHouseServesAnewAndRecordsNothingOfBefore(t *testing.T) {
	srv := testredis.Start(t)
	work := newHeld()
	h := on(t, srv, srv.URL(), 0, work.handle)
	h.post(`{"taskName":"t","customJobId":"held"}`)
	<-work.began
	if err := srv.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	close(work.finish)
	var tasks []string
	for i := range 20 {
		tasks = append(tasks, fmt.Sprint("t", i))
		h.post(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i))
	}
	h.smooth(tasks...)
}
