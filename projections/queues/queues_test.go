package queues_test

import (
	"maps"
	"slices"
	"testing"
	"time"

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

func TestRecentMinutesAreThoseOfTheEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: rapid.IntRange(1, 400).Draw(t, "events"),
			StepMs: rapid.SampledFrom([]int64{50, 20_000, 600_000, 3_600_000}).Draw(t, "step"),
		})
		later := rapid.Int64Range(-3, 40).Draw(t, "minutes later")
		var one, a, b, sum queues.View
		for _, e := range h.Events {
			one.Apply(e)
			if len(e.Task)%2 == 0 {
				a.Apply(e)
			} else {
				b.Apply(e)
			}
		}
		sum.Merge(&a)
		sum.Merge(&b)
		now := h.Events[len(h.Events)-1].ID.Time().Add(time.Duration(later) * time.Minute)
		for name, q := range one.All() {
			want := make([]queues.Minute, queues.Window)
			for _, e := range h.Events {
				at := queues.Window - 1 - int(now.Unix()/60-e.ID.Ms/60_000)
				// What lies Window before the queue's newest event is forgotten.
				if at < 0 || at >= queues.Window || e.Data.About().Queue != name || q.Recent.Last-e.ID.Ms/60_000 >= queues.Window {
					continue
				}
				switch d := e.Data.(type) {
				case events.TaskRequested:
					want[at].Requested++
				case events.TaskCompleted:
					want[at].Completed++
				case events.TaskFailed:
					if d.RetryAt == 0 {
						want[at].Failed++
					} else {
						want[at].Retried++
					}
				default:
				}
			}
			if got := q.Recent.Until(now); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
			if merged := sum.Queue(name).Recent; merged.Last != q.Recent.Last || !slices.Equal(merged.Minutes, q.Recent.Minutes) {
				t.Errorf("%s: partitions give %v, want %v", name, merged, q.Recent)
			}
		}
	})
}

func TestTheFailingShareIsOfTheAttemptsThatEnded(t *testing.T) {
	for _, c := range []struct {
		of   queues.Minute
		want float64
	}{{queues.Minute{Requested: 5}, 0}, {queues.Minute{Completed: 3, Failed: 1}, 0.25}, {queues.Minute{Retried: 2, Completed: 2}, 0.5}} {
		if got := c.of.FailingShare(); got != c.want {
			t.Errorf("%+v: %g, want %g", c.of, got, c.want)
		}
	}
}

func TestWholeCountsHaveEveryStateAndNoneBelowZero(t *testing.T) {
	given := queues.Counts{events.StateWaiting: 2, events.StateActive: -1}
	got := given.Whole()
	if len(got) != len(events.States) || got[events.StateWaiting] != 2 || got[events.StateActive] != 0 || given[events.StateActive] != -1 {
		t.Errorf("%v of %v", got, given)
	}
}
