package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
)

// together asks for n tasks at once and returns the errors, by task.
func together(ctx context.Context, log *eventlog.Log, n int, request func(i int) eventlog.Request) []error {
	errs := make([]error, n)
	var asking sync.WaitGroup
	for i := range n {
		asking.Go(func() { _, errs[i] = log.Request(ctx, request(i)) })
	}
	asking.Wait()
	return errs
}

// calls returns how many scripts a Redis has run.
func calls(t *testing.T, server *testredis.Server) int {
	t.Helper()
	return testredis.Calls(t, server.Client())["evalsha"]
}

func TestWhatIsAskedWhileACallIsUnderWaySharesTheNextOne(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	h.requested("first") // so that Redis knows the script
	before := calls(t, server)
	if err := server.Client().Do(t.Context(), "CLIENT", "PAUSE", "300", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	const n = 300
	for i, err := range together(t.Context(), h.log, n, func(i int) eventlog.Request { return want(fmt.Sprint("t", i)) }) {
		if err != nil {
			t.Errorf("task %d: %v", i, err)
		}
	}
	// The first alone, or with some; then three full ones at the least.
	if took := calls(t, server) - before; took > 5 {
		t.Errorf("%d tasks took %d calls", n, took)
	}
	if got := len(h.waiting("q")); got != n+1 {
		t.Errorf("%d tasks wait, want %d", got, n+1)
	}
	if got := len(h.all()); got != n+1 {
		t.Errorf("%d events, want %d", got, n+1)
	}
}

func TestASecondCallBeginsWhileOneIsUnderWayWhenManyWait(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	h.requested("first") // so that Redis knows the script
	rdb := server.Client()
	if err := rdb.Do(t.Context(), "CLIENT", "PAUSE", "20000", "WRITE").Err(); err != nil {
		t.Fatal(err)
	}
	errs := make(chan []error)
	go func() {
		errs <- together(t.Context(), h.log, 100, func(i int) eventlog.Request { return want(fmt.Sprint("t", i)) })
	}()
	blockedBy(t, server, 2) // calls that wait for the end of the pause
	if err := rdb.Do(t.Context(), "CLIENT", "UNPAUSE").Err(); err != nil {
		t.Fatal(err)
	}
	for i, err := range <-errs {
		if err != nil {
			t.Errorf("task %d: %v", i, err)
		}
	}
	if got := len(h.waiting("q")); got != 101 {
		t.Errorf("%d tasks wait", got)
	}
}

func TestLargeItemsDoNotShareACall(t *testing.T) {
	server := testredis.Start(t)
	log := open(t, server.URL(), 1)
	if err := server.Client().Do(t.Context(), "CLIENT", "PAUSE", "200", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	large := `"` + strings.Repeat("x", 60<<10) + `"`
	for i, err := range together(t.Context(), log, 10, func(i int) eventlog.Request {
		r := want(fmt.Sprint("t", i))
		r.Payload = []byte(large)
		return r
	}) {
		if err != nil {
			t.Errorf("task %d: %v", i, err)
		}
	}
	if took := calls(t, server); took < 10 {
		t.Errorf("10 tasks of 60 KiB took %d calls", took)
	}
}

func TestABadItemSpoilsNoOther(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		must(h.rdb.Set(t.Context(), h.p.Task("t7"), "no row", 0).Result())(h)
		must(h.rdb.HSet(t.Context(), h.p.Task("t9"), "state", "waiting").Result())(h)
		errs := together(t.Context(), h.log, 100, func(i int) eventlog.Request { return want(fmt.Sprint("t", i)) })
		for i, err := range errs {
			switch {
			case i == 7 && (err == nil || !strings.Contains(err.Error(), "WRONGTYPE") || eventlog.Unavailable(err)):
				t.Errorf("a task whose row is no hash: %v", err)
			case i == 9 && err == nil:
				t.Error("a task whose row is none was a task")
			case i != 7 && i != 9 && err != nil:
				t.Errorf("task %d: %v", i, err)
			}
		}
		if got := len(h.waiting("q")); got != 98 {
			t.Errorf("%d tasks wait, want 98", got)
		}

		h.due("q")
		var ending sync.WaitGroup
		for i := range 20 {
			if i == 7 || i == 9 {
				continue
			}
			a := h.take(fmt.Sprint("t", i), "w1")
			if i == 3 {
				h.lock(h.take("t3", "w2"))
			}
			ending.Go(func() {
				_, err := h.log.Start(t.Context(), a, hour)
				if i == 3 && !errors.Is(err, eventlog.ErrLocked) || i != 3 && err != nil {
					t.Errorf("start of task %d: %v", i, err)
				}
				if i == 5 {
					a.Number = 2
				}
				_, err = h.log.Complete(t.Context(), a, 0, nil)
				if fenced := i == 3 || i == 5; errors.Is(err, eventlog.ErrFenced) != fenced || !fenced && err != nil {
					t.Errorf("end of task %d: %v", i, err)
				}
			})
		}
		ending.Wait()
		h.expect("t3", "Requested Due")
		h.expect("t5", "Requested Due Started(1,w1)")
		h.expect("t6", "Requested Due Started(1,w1) Completed(1,w1)")
	})
}

func TestOneTaskTwiceInACallIsStartedAndEndedOnce(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	h.requested("a", "b")
	h.due("q")
	a := h.take("a", "w1")
	twice := func(what string, f func() error) {
		t.Helper()
		if err := server.Client().Do(t.Context(), "CLIENT", "PAUSE", "100", "ALL").Err(); err != nil {
			t.Fatal(err)
		}
		var asking sync.WaitGroup
		for range 6 {
			asking.Go(func() {
				if err := f(); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			})
		}
		asking.Wait()
	}
	twice("start", func() error { _, err := h.log.Start(t.Context(), a, hour); return err })
	h.expect("a", "Requested Due Started(1,w1)")
	twice("fail", func() error {
		_, err := h.log.Fail(t.Context(), a, 0, events.ReasonError, "", new(hour))
		return err
	})
	h.expect("a", "Requested Due Started(1,w1) Failed(1,error,retry)")
}

func TestWhoHasGoneIsNotAskedFor(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	if err := server.Client().Do(t.Context(), "CLIENT", "PAUSE", "300", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	var first sync.WaitGroup
	first.Go(func() { h.request(want("first")) })
	hasty, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	<-time.After(20 * time.Millisecond) // let the first be under way
	const few = 10                      // for which no second call begins
	for _, err := range together(hasty, h.log, few, func(i int) eventlog.Request { return want(fmt.Sprint("t", i)) }) {
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	first.Wait()
	h.requested("last")
	if got := len(h.waiting("q")); got != 2 {
		t.Errorf("%d tasks wait: want the first and the last", got)
	}
}

// A call that Redis does not answer takes seconds to fail. Those who ask meanwhile must not wait for a
// failure of their own after that.
func TestThoseBehindACallThatFailsFailWithIt(t *testing.T) {
	server := testredis.Start(t)
	p := faults.Start(t, server.Addr())
	log := open(t, p.URL(), 1)
	must(log.Request(t.Context(), want("first")))(newHand(t, log))
	p.Set(faults.Fault{Kind: faults.DropReply, Times: faults.Always})
	began := time.Now()
	for i, err := range together(t.Context(), log, 500, func(i int) eventlog.Request { return want(fmt.Sprint("t", i)) }) {
		if !eventlog.Unavailable(err) {
			t.Errorf("task %d: %v", i, err)
		}
	}
	one := 520 * time.Millisecond // the pauses between the tries of a call
	if took := time.Since(began); took > 3*one {
		t.Errorf("all had failed after %s, one by one or in turn", took)
	}
}
