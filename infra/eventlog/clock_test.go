package eventlog_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// turned returns a hand on a Redis whose clock the test turns.
func turned(t *testing.T) (h *hand, turn func(d time.Duration)) {
	t.Helper()
	m := miniredis.RunT(t)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	m.SetTime(now)
	return newHand(t, open(t, "redis://"+m.Addr()+"/0", 1)), func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
	}
}

func TestAClockThatJumpsAheadAbandonsNobodyForALease(t *testing.T) {
	const gap, lease = 10 * time.Second, 30 * time.Second
	h, turn := turned(t)
	a := h.running("a")
	sweep := func() eventlog.Swept {
		t.Helper()
		return must(h.log.Sweep(t.Context(), h.p, gap, lease))(h)
	}
	r := want("delayed")
	r.Delay = hour / 2
	delayed := h.request(r)
	sweep()
	turn(2 * hour)
	if s := sweep(); s.Spared != 1 || len(s.Overdue) > 0 {
		t.Errorf("a sweep after the jump found %+v", s)
	}
	if _, err := h.log.Abandon(t.Context(), "a", 1, "w1", 0, nil); !errors.Is(err, eventlog.ErrFenced) {
		t.Errorf("it was abandoned: %v", err)
	}
	// By Redis' clock the time of the delayed one has come.
	must(h.log.Promote(t.Context(), h.p, "q", []eventlog.Promotion{{Task: "delayed", Queue: "q", Requested: delayed.Event}}))(h)
	if d := h.due("q"); d.Done != 1 {
		t.Errorf("%d were due", d.Done)
	}
	h.agree(h.all())
	// Nobody extends: after a lease the attempt is over, and once only.
	var overdue []string
	for range lease / (gap / 2) {
		turn(gap / 2)
		overdue = sweep().Overdue
	}
	if !slices.Equal(overdue, []string{"a"}) {
		t.Errorf("a lease later %v are overdue", overdue)
	}
	must(h.log.Abandon(t.Context(), "a", 1, "w1", 0, nil))(h)
	if _, err := h.log.Complete(t.Context(), a, 0, nil); !errors.Is(err, eventlog.ErrFenced) {
		t.Errorf("it was completed: %v", err)
	}
	h.expect("a", "Requested Due Started(1,w1) Failed(1,abandoned)")
	h.expect("delayed", "Requested(delayed) Due(delayed)")
}

func TestAClockThatGoesBackMakesNothingEarlyAndNothingTwice(t *testing.T) {
	h, turn := turned(t)
	a := h.running("a")
	h.requested("b")
	turn(-hour)
	if d := h.due("q"); d.Done != 0 {
		t.Errorf("%d became due before their time", d.Done)
	}
	h.requested("c") // its time is an hour ago, by the log
	if d := h.due("q"); d.Done != 1 {
		t.Errorf("%d of what was asked for now became due", d.Done)
	}
	if s := must(h.log.Sweep(t.Context(), h.p, time.Minute, time.Minute))(h); len(s.Overdue) > 0 {
		t.Errorf("%v are overdue", s.Overdue)
	}
	must(h.log.Complete(t.Context(), a, 0, nil))(h)
	h.agree(h.all())
	turn(hour + time.Second)
	if d := h.due("q"); d.Done != 1 {
		t.Errorf("%d became due when the clock had caught up", d.Done)
	}
	h.expect("a", "Requested Due Started(1,w1) Completed(1,w1)")
	h.expect("b", "Requested Due")
	h.expect("c", "Requested Due")
	log := h.all()
	for i := range log[1:] {
		if log[i].ID.Compare(log[i+1].ID) >= 0 {
			t.Errorf("%s stands before %s", log[i].ID, log[i+1].ID)
		}
	}
}
