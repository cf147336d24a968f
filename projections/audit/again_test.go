package audit_test

import (
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/audit"
)

// lives returns the events of a task that is completed, and asked for again so long after its end.
func lives(after time.Duration) []events.Event {
	l := events.Label{Queue: "q", Name: "n"}
	request := events.TaskRequested{Label: l, Definition: events.Definition{MaxAttempts: 2}, DueAt: 1000}
	list := []events.Event{
		{ID: events.ID{Ms: 1000}, Data: request},
		{ID: events.ID{Ms: 1001}, Data: events.TaskDue{Label: l, Attempt: 1, DueAt: 1000, From: events.StateWaiting}},
		{ID: events.ID{Ms: 1002}, Data: events.TaskStarted{Label: l, Attempt: 1, Worker: "w", Token: "t", WaitMs: 2}},
		{ID: events.ID{Ms: 1003}, Data: events.TaskCompleted{Label: l, Attempt: 1, Worker: "w", RunMs: 1}},
	}
	second := request
	second.DueAt = 1003 + after.Milliseconds()
	list = append(list,
		events.Event{ID: events.ID{Ms: second.DueAt}, Data: second},
		events.Event{ID: events.ID{Ms: second.DueAt + 1}, Data: events.TaskDue{Label: l, Attempt: 1, DueAt: second.DueAt, From: events.StateWaiting}})
	for i := range list {
		list[i].Task = "a"
	}
	return list
}

func TestATaskMayLiveAgainWhenItsRowIsGone(t *testing.T) {
	a := audit.New(audit.Config{})
	for _, e := range lives(events.DefaultRetention) {
		a.Apply(e)
	}
	r := a.Report(false)
	if r.ViolationCount != 0 || r.Tasks != 1 || r.States[events.StateDue] != 1 || r.States[events.StateCompleted] != 0 {
		t.Errorf("%d tasks, %v, violations %v", r.Tasks, r.States, r.Violations)
	}
	if s, ok := a.Task("a"); !ok || !s.Again || s.Attempt != 0 || s.State != events.StateDue {
		t.Errorf("%+v", s)
	}
}

func TestATaskThatLivesAgainTooSoonIsAViolation(t *testing.T) {
	list := lives(events.DefaultRetention - time.Millisecond)
	r := run(list, false)
	if r.ViolationCount != 1 || r.Violations[0].Invariant != audit.OneRequest || r.Violations[0].Entry != list[4].ID {
		t.Errorf("%+v, want one-request at %s", r.Violations, list[4].ID)
	}
}

func TestATaskMayLiveAgainAtOnceWhenItsRowWasTooMany(t *testing.T) {
	list := lives(time.Minute)
	for end, ok := range map[events.ID]bool{list[3].ID: true, list[3].ID.Prev(): false} {
		a := audit.New(audit.Config{Retired: func(queue string, last events.ID) bool {
			return queue == "q" && last.Compare(end) <= 0
		}})
		for _, e := range list {
			a.Apply(e)
		}
		if r := a.Report(false); (r.ViolationCount == 0) != ok {
			t.Errorf("rows went up to %s, the task ended at %s: violations %v", end, list[3].ID, r.Violations)
		}
	}
}
