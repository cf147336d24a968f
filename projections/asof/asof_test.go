package asof_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/simulation"
)

func all(asof.Place) bool { return true }

// outline leaves of a task what a view of the past has.
func outline(t events.Task) events.Task {
	t.Definition = events.Definition{Priority: t.Priority, MaxAttempts: t.MaxAttempts}
	t.Token, t.RetryID = "", ""
	t.Events = []events.ID{t.Events[0], t.Events[len(t.Events)-1]}
	return t
}

func TestEveryInstantIsToldAsItWasRecorded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{Seed: rapid.Uint64().Draw(t, "seed"), Events: 300, StepMs: 20})
		at := rapid.IntRange(0, len(h.Events)-1).Draw(t, "at")
		tasks := map[string]events.Task{} // as they were live
		var live queues.View
		for _, e := range h.Events[:at+1] {
			live.Apply(e)
			if e.Task == "" {
				continue
			}
			next, err := tasks[e.Task].Evolve(e)
			if err != nil {
				t.Fatal(err)
			}
			tasks[e.Task] = next
		}
		v := new(asof.View)
		if _, err := projections.Replay(t.Context(), h, events.ID{}, h.Events[at].ID, v); err != nil {
			t.Fatal(err)
		}
		if v.Last != h.Events[at].ID {
			t.Fatalf("it is as of %s, want %s", v.Last, h.Events[at].ID)
		}
		for name, q := range live.All() {
			if got := v.Queues.Queue(name); !reflect.DeepEqual(got.Totals, q.Totals) || got.Paused != q.Paused || fmt.Sprint(got.Counts) != fmt.Sprint(q.Counts) {
				t.Errorf("queue %s: %+v, want %+v", name, got, *q)
			}
		}
		list := v.Places(all)
		if len(list) != len(tasks) {
			t.Fatalf("%d tasks, want %d", len(list), len(tasks))
		}
		if n := rapid.IntRange(0, len(list)+1).Draw(t, "n"); !slices.Equal(v.Newest(n, all), list[:min(n, len(list))]) {
			t.Errorf("the newest %d are %v", n, v.Newest(n, all))
		}
		for i, p := range list {
			task := tasks[p.Task]
			if got, want := p.Outline(), outline(task); !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, want %+v", got, want)
			}
			if i > 0 && list[i-1].At.Ms < p.At.Ms {
				t.Errorf("%s comes after %s", p.At, list[i-1].At)
			}
		}
	})
}

// life returns the events of a task that is requested, and cancelled unless it stays.
func life(n int, stays bool) []events.Event {
	id, l := fmt.Sprintf("t%06d", n), events.Label{Queue: "q", Name: "n"}
	list := []events.Event{{ID: events.ID{Ms: int64(2*n + 1)}, Task: id, Data: events.TaskRequested{Label: l}}}
	if !stays {
		list = append(list, events.Event{ID: events.ID{Ms: int64(2*n + 2)}, Task: id, Data: events.TaskCancelled{Label: l, From: events.StateWaiting}})
	}
	return list
}

func TestTheViewGrowsWithWhatIsUnderWayAndNotWithTheLog(t *testing.T) {
	v := new(asof.View)
	const tasks = 20_000
	for n := range tasks {
		for _, e := range life(n, n%100 == 0) {
			v.Apply(e)
		}
	}
	list := v.Places(all)
	waiting := v.Places(func(p asof.Place) bool { return p.State == events.StateWaiting })
	if len(waiting) != tasks/100 || len(list) < asof.Keep+tasks/100 || len(list) > 2*asof.Keep+tasks/100 {
		t.Errorf("%d tasks, %d of them waiting", len(list), len(waiting))
	}
	for i, n := 0, tasks-1; i < asof.Keep; i, n = i+1, n-1 { // the newest are there, whatever their state
		if _, ok := v.Place(fmt.Sprintf("t%06d", n)); !ok {
			t.Fatalf("task %d is missing", n)
		}
	}
}

func TestPartitionsAreMergedAndInstantsCompared(t *testing.T) {
	var one, two, earlier asof.View
	for _, e := range life(1, true) {
		one.Apply(e)
		earlier.Apply(e)
	}
	for _, e := range life(2, false) {
		two.Apply(e)
	}
	one.Merge(&two)
	if one.Last.Ms != 6 || len(one.Places(all)) != 2 || one.Queues.Queue("q").Totals.Requested != 2 {
		t.Errorf("%s, %v", one.Last, one.Places(all))
	}
	if moved := one.Moves(&earlier); len(moved) != 1 || moved[0].Task != "t000002" || moved[0].State != events.StateCancelled {
		t.Errorf("%v", moved)
	}
}
