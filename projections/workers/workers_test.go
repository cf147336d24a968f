package workers_test

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/projections/workers"
)

func TestWhoRunsWhatIsWhatTheTasksSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: rapid.IntRange(1, 800).Draw(t, "events"), StepMs: 60_000,
		})
		var v workers.View
		if _, err := projections.Replay(t.Context(), h, events.ID{}, events.MaxID, &v); err != nil {
			t.Fatal(err)
		}
		running := map[string]map[string]int64{}
		for id, task := range h.Tasks {
			if task.State == events.StateActive {
				if running[task.Worker] == nil {
					running[task.Worker] = map[string]int64{}
				}
				running[task.Worker][id] = task.Events[len(task.Events)-1].Ms
			}
		}
		spoke := map[string]int64{}
		for _, e := range h.Events {
			switch d := e.Data.(type) {
			case events.TaskStarted:
				spoke[d.Worker] = e.ID.Ms
			case events.TaskCompleted:
				spoke[d.Worker] = e.ID.Ms
			case events.TaskReleased:
				spoke[d.Worker] = e.ID.Ms
			case events.TaskFailed:
				if d.Reason != events.ReasonAbandoned {
					spoke[d.Worker] = e.ID.Ms
				}
			default:
			}
		}
		if v.Len() != len(spoke) {
			t.Errorf("%d workers, want %d", v.Len(), len(spoke))
		}
		for id, w := range v.All() {
			if !maps.Equal(w.Tasks, running[id]) || w.Running != int64(len(running[id])) {
				t.Errorf("%s runs %d, %v; want %v", id, w.Running, w.Tasks, running[id])
			}
			ended := w.Completed + w.Failed + w.Abandoned + w.Cancelled
			if released := w.Started - w.Running - ended; released < 0 || released > w.Released {
				t.Errorf("%s: attempts do not add up: %+v", id, *w)
			}
			if w.LastAt != spoke[id] {
				t.Errorf("%s was heard of at %d, want %d", id, w.LastAt, spoke[id])
			}
		}
	})
}

func TestAWorkerOfTooManyTasksIsStillCounted(t *testing.T) {
	var v workers.View
	const n = 1500
	at := func(i int, d events.Data) events.Event {
		return events.Event{ID: events.ID{Ms: int64(i)}, Task: fmt.Sprintf("t%d", i), Data: d}
	}
	for i := range n {
		v.Apply(at(i, events.TaskStarted{Attempt: 1, Worker: "w"}))
	}
	w := v.Get("w")
	if w.Running != n || len(w.Tasks) != 1000 {
		t.Fatalf("%d running, %d by id; want %d and 1000", w.Running, len(w.Tasks), n)
	}
	for i := range n {
		v.Apply(at(i, events.TaskCompleted{Attempt: 1, Worker: "w"}))
	}
	if w.Running != 0 || len(w.Tasks) != 0 || w.Completed != n {
		t.Errorf("%d running, %d by id, %d completed; want 0, 0, %d", w.Running, len(w.Tasks), w.Completed, n)
	}
}

func TestIdleWorkersAreForgottenWhenThereAreTooMany(t *testing.T) {
	var v workers.View
	ms := int64(0)
	live := func(worker string, ends bool) {
		ms++
		v.Apply(events.Event{ID: events.ID{Ms: ms}, Task: worker, Data: events.TaskStarted{Worker: worker}})
		if ends {
			v.Apply(events.Event{ID: events.ID{Ms: ms, Seq: 1}, Task: worker, Data: events.TaskCompleted{Worker: worker}})
		}
	}
	live("busy", false)
	for i := range 999 {
		live(fmt.Sprintf("w%d", i), true)
	}
	live("one more", true)
	if v.Len() != 1001 {
		t.Fatalf("%d workers, want all 1001: none was idle for a day", v.Len())
	}
	ms += 25 * time.Hour.Milliseconds()
	live("the next day", true)
	if v.Len() != 2 || v.Get("busy") == nil {
		t.Errorf("%d workers; want the one that runs something, and the new one", v.Len())
	}
	v.Apply(events.Event{ID: events.ID{Ms: ms, Seq: 9}, Task: "x", Data: events.TaskFailed{Worker: "w1", Reason: events.ReasonAbandoned}})
	if v.Get("w1") != nil {
		t.Error("a forgotten worker is back though it was silent")
	}
}

func TestMergeAddsPartitions(t *testing.T) {
	var a, b, sum workers.View
	start := func(v *workers.View, task string, ms int64) {
		v.Apply(events.Event{ID: events.ID{Ms: ms}, Task: task, Data: events.TaskStarted{Worker: "w"}})
	}
	start(&a, "x", 5)
	start(&a, "y", 6)
	start(&b, "z", 4)
	sum.Merge(&a)
	sum.Merge(&b)
	w := sum.Get("w")
	if w == nil || w.Started != 3 || w.Running != 3 || w.LastAt != 6 || !maps.Equal(w.Tasks, map[string]int64{"x": 5, "y": 6, "z": 4}) {
		t.Errorf("%+v", w)
	}
}
