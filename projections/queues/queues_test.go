package queues_test

import (
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/simulation"
)

func TestCountsAreThoseOfTheTasks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: rapid.IntRange(1, 800).Draw(t, "events"),
		})
		var v queues.View
		if _, err := projections.Replay(t.Context(), h, events.ID{}, events.MaxID, &v); err != nil {
			t.Fatal(err)
		}
		want := map[string]queues.Counts{} // the model asks the tasks themselves
		requested := map[string]int64{}
		for _, task := range h.Tasks {
			if want[task.Queue] == nil {
				want[task.Queue] = queues.Counts{}
			}
			want[task.Queue][task.State]++
			requested[task.Queue]++
		}
		for name, q := range v.All() {
			if !maps.Equal(q.Counts, want[name]) {
				t.Errorf("%s: %v, want %v", name, q.Counts, want[name])
			}
			if q.Totals.Requested != requested[name] || q.Paused != h.Paused[name] {
				t.Errorf("%s: %d requested, paused %v; want %d, %v", name, q.Totals.Requested, q.Paused, requested[name], h.Paused[name])
			}
			if q.Totals.Completed != q.Counts[events.StateCompleted] {
				t.Errorf("%s: %d were ever completed, and %d are", name, q.Totals.Completed, q.Counts[events.StateCompleted])
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Errorf("not counted at all: %v", want)
		}
	})
}

func TestMergeAddsPartitions(t *testing.T) {
	var a, b, sum, one queues.View
	for _, e := range simulation.Make(simulation.Config{Seed: 1}).Events {
		if e.Task == "" {
			continue // a pause is in every partition
		}
		one.Apply(e)
		if len(e.Task)%2 == 0 { // any rule by which a task has one partition
			a.Apply(e)
		} else {
			b.Apply(e)
		}
	}
	sum.Merge(&a)
	sum.Merge(&b)
	for name := range one.All() {
		got, want := sum.Queue(name), one.Queue(name)
		if !maps.Equal(got.Counts, want.Counts) || got.Totals != want.Totals {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestTotalsTellFinalFailuresFromAttempts(t *testing.T) {
	var v queues.View
	about := events.Label{Queue: "mail"}
	for _, d := range []events.Data{
		events.TaskRequested{Label: about},
		events.TaskDue{Label: about, From: events.StateWaiting},
		events.TaskStarted{Label: about},
		events.TaskFailed{Label: about, RetryAt: 5},
		events.TaskDue{Label: about, From: events.StateRetrying},
		events.TaskStarted{Label: about},
		events.TaskFailed{Label: about},
		events.QueuePaused{Label: events.Label{Queue: "idle"}},
	} {
		v.Apply(events.Event{Task: "a", Data: d})
	}
	want := queues.Totals{Requested: 1, Failed: 1, AttemptsFailed: 2}
	if got := v.Queue("mail"); got.Totals != want || !maps.Equal(got.Counts, queues.Counts{events.StateFailed: 1}) {
		t.Errorf("%+v, want %+v and one failed task", got, want)
	}
	if !v.Queue("idle").Paused || v.Queue("nobody's").Paused {
		t.Error("want the paused queue, and it alone, to be paused")
	}
}
