package whole_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
)

// A floor is what the machine takes for the least that one can ask of it: a timer of a millisecond and
// a PING, over and over, beside what is measured.
type floor struct {
	cancel context.CancelFunc
	took   chan []time.Duration
}

func (h *house) floor() *floor {
	ctx, cancel := context.WithCancel(h.Context())
	f := &floor{cancel, make(chan []time.Duration, 1)}
	go func() {
		var took []time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			<-time.After(time.Millisecond)
			if h.redis.Client().Ping(ctx).Err() != nil {
				continue
			}
			// Who waits through a stall of the machine is one here and many elsewhere: count it for each
			// millisecond that somebody could have come (HdrHistogram's expected interval).
			for d := time.Since(began) - time.Millisecond; d > 0; d -= time.Millisecond {
				took = append(took, d)
			}
		}
		f.took <- took
	}()
	return f
}

// bound ends the measurement and returns how long something may take: what was promised for light
// load, where the load was light; else loaded, which only shows that nobody polls, beside the
// longest time for which the machine stood still.
func (f *floor) bound(t *testing.T, promise, loaded time.Duration) time.Duration {
	t.Helper()
	f.cancel()
	took := <-f.took
	p99, longest := percentile(took, 99), percentile(took, 100)
	t.Logf("a timer and a PING, beside: p50 %s, p99 %s, longest %s", percentile(took, 50), p99, longest)
	if !raced && p99 <= promise/2 {
		return promise
	}
	t.Logf("that is no light load, or it is the race detector: the bound is %s and not %s", loaded+longest, promise)
	return loaded + longest
}

func TestADelayedTaskIsNeverEarlyAndHardlyLate(t *testing.T) {
	h := build(t)
	h.post(`{"taskName":"warm up"}`)
	h.begun()
	const n = 200
	floor := h.floor()
	for i := range n { // over a second, out of order
		h.post(fmt.Sprintf(`{"taskName":"later","customJobId":"t%d","delayMs":%d}`, i, 2000+i*7%1000))
	}
	late := make([]time.Duration, 0, n)
	for _, e := range h.read(events.TypeTaskDue, n+1) {
		due := e.Data.(events.TaskDue)
		if due.Name != "later" {
			continue
		}
		late = append(late, time.Duration(e.ID.Ms-due.DueAt)*time.Millisecond)
	}
	if early := percentile(late, 0); early < 0 {
		t.Errorf("a task became due %s early", -early)
	}
	p50, p99 := percentile(late, 50), percentile(late, 99)
	t.Logf("TaskDue after the due time: p50 %s, p99 %s, longest %s", p50, p99, percentile(late, 100))
	if want := floor.bound(t, 5*time.Millisecond, 250*time.Millisecond); p99 >= want {
		t.Errorf("TaskDue comes %s late at p99, want less than %s", p99, want)
	}
}

func TestAnImmediateTaskBeginsAtOnce(t *testing.T) {
	h := build(t)
	took := make([]time.Duration, 0, 300)
	floor := h.floor()
	for i := range 310 {
		asked := time.Now()
		h.post(`{"taskName":"now","payload":{"userId":123,"template":"welcome"}}`)
		if d := h.begun().Sub(asked); i >= 10 { // after connections and scripts are there
			took = append(took, d)
		}
	}
	p50 := percentile(took, 50)
	t.Logf("POST to handler: p50 %s, p90 %s, p99 %s, longest %s", p50, percentile(took, 90), percentile(took, 99), percentile(took, 100))
	if want := floor.bound(t, 3*time.Millisecond, 90*time.Millisecond); p50 >= want {
		t.Errorf("half of the handlers begin later than %s after the POST, want less than %s", p50, want)
	}
}
