package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
)

func TestWhatIsDueInOneMillisecondBecomesDueByPriority(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), scheduler.Config{}, 1)
	const n = 3000  // many pages of the promoter
	h.worker(4 * n) // a full dispatch stream would wait for it
	now, err := h.log.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := make([]eventlog.Request, n)
	for i := range list {
		list[i] = eventlog.Request{
			Task: fmt.Sprintf("t%d", i), Label: events.Label{Queue: "default", Name: "test"}, RunAt: now.Add(2 * time.Second),
			Definition: events.Definition{MaxAttempts: 1, Priority: i * 7919 % n},
		}
	}
	for _, r := range h.log.RequestMany(t.Context(), list) {
		if r.Err != nil || r.State != events.StateDelayed {
			t.Fatal(r, "too slow for this test, or an error")
		}
	}
	due := map[string]bool{}
	h.await("all to be due", func(e events.Event) bool {
		if e.Data.Type() == events.TypeTaskDue {
			due[e.Task] = true
		}
		return len(due) == n
	})
	before := -1
	for _, e := range h.all {
		if d, ok := e.Data.(events.TaskDue); ok {
			if d.Priority < before {
				t.Fatalf("%s is due after another with priority %d, and has %d", e.Task, before, d.Priority)
			}
			before = d.Priority
		}
	}
}

func TestWhatIsOverdueWhenASchedulerStartsBecomesDue(t *testing.T) {
	url := testredis.Start(t).URL()
	log := testredis.Open(t, url, 1)
	const n = 300 // more than a page of the promoter
	list := make([]eventlog.Request, n)
	for i := range list {
		list[i] = eventlog.Request{
			Task: fmt.Sprintf("t%d", i), Label: events.Label{Queue: "default", Name: "test"}, Delay: time.Millisecond,
			Definition: events.Definition{MaxAttempts: 1},
		}
	}
	var latest int64
	for _, r := range log.RequestMany(t.Context(), list) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		latest = max(latest, r.DueAt)
	}
	for now := int64(0); now <= latest; {
		clock, err := log.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		now = clock.UnixMilli()
	}
	h := build(t, url, scheduler.Config{}, 1)
	h.worker(4 * n)
	due := map[string]bool{}
	h.await("all to be due", func(e events.Event) bool {
		if e.Data.Type() == events.TypeTaskDue {
			due[e.Task] = true
		}
		return len(due) == n
	})
}

func TestManyTasksOfARefusedQueueDoNotStandInTheWayOfOthers(t *testing.T) {
	srv := testredis.Start(t)
	h := build(t, srv.URL(), scheduler.Config{}, 1)
	h.worker(1000)
	if err := srv.Client().Set(t.Context(), h.p.Waiting("bad"), "no set", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		h.request(eventlog.Request{Task: fmt.Sprintf("bad%d", i), Label: events.Label{Queue: "bad"}, Delay: time.Millisecond})
	}
	for i := range 10 {
		h.request(eventlog.Request{Task: fmt.Sprintf("good%d", i), Label: events.Label{Queue: "good"}, Delay: 50 * time.Millisecond})
	}
	for i := range 10 {
		h.awaitType(fmt.Sprintf("good%d", i), events.TypeTaskDue)
	}
}
