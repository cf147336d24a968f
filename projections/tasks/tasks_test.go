package tasks_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/projections/tasks"
)

func TestChangesLeadEveryTaskToItsState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: rapid.IntRange(1, 600).Draw(t, "events"),
		})
		var v tasks.View
		at := map[string]tasks.Place{} // a store
		last := map[string]events.ID{}
		tell := func() {
			for task, c := range v.Changes() {
				if at[task] != c.From && c.From.State != events.StateNone {
					t.Errorf("task %s leaves %v, and is in %v", task, c.From, at[task])
				}
				at[task], last[task] = c.To, c.At
			}
			v.Told()
			if v.Moved() != 0 {
				t.Errorf("%d changes are left", v.Moved())
			}
		}
		for _, e := range h.Events {
			v.Apply(e)
			if rapid.IntRange(0, 20).Draw(t, "save") == 0 {
				tell()
			}
		}
		tell()
		for id, task := range h.Tasks {
			if want := (tasks.Place{State: task.State, Queue: task.Queue}); at[id] != want {
				t.Errorf("task %s is in %v, want %v", id, at[id], want)
			}
			if want := task.Events[len(task.Events)-1]; last[id] != want {
				t.Errorf("task %s changed at %s, want %s", id, last[id], want)
			}
		}
		if len(at) != len(h.Tasks) {
			t.Errorf("%d tasks, want %d", len(at), len(h.Tasks))
		}
	})
}

func TestTheStoreIsToldWhenToDropTasks(t *testing.T) {
	var v tasks.View
	about := events.Label{Queue: "mail"}
	var due []int
	for i := 1; i <= 3*tasks.Keep; i++ {
		id := fmt.Sprintf("t%d", i)
		v.Apply(events.Event{ID: events.ID{Ms: int64(i)}, Task: id, Data: events.TaskCancelled{Label: about}})
		if v.Due(events.Event{}) {
			if got := v.Trim(); len(got) != 1 || got[0] != (tasks.Place{State: events.StateCancelled, Queue: "mail"}) {
				t.Fatalf("to be dropped from %v", got)
			}
			due = append(due, i)
			v.Told()
		}
	}
	if len(due) < 10 || due[0] <= tasks.Keep {
		t.Fatalf("told to drop at %v", due)
	}
	for i := 1; i < len(due); i++ {
		if gap := due[i] - due[i-1]; gap > tasks.Keep/10 {
			t.Errorf("%d tasks too many before %d", gap, due[i])
		}
	}
}
