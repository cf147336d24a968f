package names_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/names"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/projections/throughput"
)

// history is a simulated log with some names, of which a few come often.
func history(seed uint64, kinds int, stepMs int64) []events.Event {
	dice := rand.New(rand.NewPCG(seed, 2))
	h := simulation.Make(simulation.Config{Seed: seed, Events: 600, Queues: 2, StepMs: stepMs})
	of := map[string]string{}
	for i, e := range h.Events {
		name := of[e.Task]
		switch d := e.Data.(type) {
		case events.TaskRequested:
			name = fmt.Sprintf("name %d", min(dice.IntN(kinds), dice.IntN(kinds)))
			of[e.Task], d.Name = name, name
			e.Data = d
		case events.TaskCompleted:
			d.Name = name
			e.Data = d
		case events.TaskFailed:
			d.Name = name
			e.Data = d
		default:
		}
		h.Events[i] = e
	}
	return h.Events
}

// count counts an event.
func count(c *throughput.Counts, e events.Event) {
	switch d := e.Data.(type) {
	case events.TaskRequested:
		c.Requested++
	case events.TaskCompleted:
		c.Completed++
		c.Run.Add(d.RunMs)
	case events.TaskFailed:
		if d.RetryAt > 0 {
			c.Retried++
		} else {
			c.Failed++
		}
		c.Run.Add(d.RunMs)
	default:
	}
}

// figures are what tests compare.
func figures(c throughput.Counts) [6]int64 {
	return [6]int64{c.Requested, c.Completed, c.Failed, c.Retried, c.Run.Count(), c.Run.Sum}
}

func TestNamesAreCountedAsTheEventsTell(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := history(rapid.Uint64().Draw(t, "seed"), rapid.SampledFrom([]int{1, 5, 120}).Draw(t, "kinds"),
			rapid.SampledFrom([]int64{50, 60_000, 3_600_000}).Draw(t, "step"))
		var one, a, b, sum names.View
		for _, e := range list {
			one.Apply(e)
			if len(e.Task)%2 == 0 {
				a.Apply(e)
			} else {
				b.Apply(e)
			}
		}
		sum.Merge(&a)
		sum.Merge(&b)
		now := list[len(list)-1].ID.Time().Add(time.Duration(rapid.Int64Range(0, 40).Draw(t, "hours")) * time.Hour)
		since := names.Since(now)
		if back := now.Sub(since); back < 24*time.Hour || back > 30*time.Hour {
			t.Errorf("counts begin %s before", back)
		}
		queue := list[0].Data.About().Queue
		want, all := map[string]*throughput.Counts{}, throughput.Counts{}
		ever := map[string]bool{}
		for _, e := range list {
			l := e.Data.About()
			if e.Task == "" || l.Queue != queue {
				continue
			}
			ever[l.Name] = true
			if e.ID.Time().Before(since) {
				continue
			}
			if want[l.Name] == nil {
				want[l.Name] = new(throughput.Counts)
			}
			count(want[l.Name], e)
			count(&all, e)
		}
		for what, v := range map[string]*names.View{"one": &one, "two partitions": &sum} {
			var total throughput.Counts
			got := v.Of(queue, now)
			for _, n := range got {
				total.Add(n.Counts)
				switch {
				case n.Name == "" && len(ever) <= names.Max:
					t.Errorf("%s: %d names, and some are not counted by themselves", what, len(ever))
				case n.Name == "":
				case want[n.Name] == nil:
					t.Errorf("%s: %q is counted, and nothing happened to it", what, n.Name)
				case len(ever) <= names.Max && figures(n.Counts) != figures(*want[n.Name]):
					t.Errorf("%s: %q is %v, want %v", what, n.Name, figures(n.Counts), figures(*want[n.Name]))
				}
			}
			if figures(total) != figures(all) {
				t.Errorf("%s: all names together are %v, want %v", what, figures(total), figures(all))
			}
			if what == "one" && len(got) > names.Max+1 {
				t.Errorf("%d names", len(got))
			}
			fields := map[string]bool{}
			for _, f := range v.Needs(queue, now) {
				fields[f] = true
			}
			if what == "one" && len(fields) > 255 {
				t.Errorf("%d fields are read", len(fields))
			}
		}
	})
}

func TestAnyBatchesGiveTheSameNamesTheirOwnCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := history(rapid.Uint64().Draw(t, "seed"), 120, rapid.SampledFrom([]int64{50, 3_600_000}).Draw(t, "step"))
		var whole names.View
		stored, want := map[string]string{}, map[string]string{}
		store := func(into map[string]string, v *names.View) {
			for field, value := range v.Changed() {
				if into[field] = string(value); value == nil {
					delete(into, field)
				}
			}
		}
		v := new(names.View)
		for _, e := range list {
			whole.Apply(e)
			v.Apply(e)
			switch rapid.IntRange(0, 19).Draw(t, "then") {
			case 0:
				store(stored, v)
			case 1: // a crash after that
				store(stored, v)
				v = new(names.View)
				if err := v.Load(stored); err != nil {
					t.Fatal(err)
				}
			}
		}
		store(stored, v)
		store(want, &whole)
		if !maps.Equal(stored, want) {
			t.Errorf("in batches %v, at once %v", stored, want)
		}
	})
}

func TestANameThatNobodyUsedForADayMakesRoom(t *testing.T) {
	var v names.View
	at := time.UnixMilli(1_764_000_000_000)
	ask := func(name string) {
		v.Apply(events.Event{ID: events.ID{Ms: at.UnixMilli()}, Task: "t", Data: events.TaskRequested{Label: events.Label{Queue: "q", Name: name}}})
	}
	for i := range names.Max {
		ask(fmt.Sprint("old ", i))
	}
	ask("late")
	if list := v.Of("q", at); len(list) != names.Max+1 || list[names.Max].Name != "" || list[names.Max].Requested != 1 {
		t.Fatalf("%d names, the last is %+v; want one under no name", len(list), list[len(list)-1])
	}
	at = at.Add(20 * time.Hour)
	ask("old 7")
	at = at.Add(15 * time.Hour)
	ask("late")
	list := v.Of("q", at)
	if len(list) != 2 || list[0].Name != "late" || list[0].Requested != 1 || list[1].Name != "old 7" {
		t.Errorf("%+v, want the name that found room, and the one that was used", list)
	}
	if list := v.Of("other", at); len(list) != 0 {
		t.Errorf("a queue that nobody asked for has %+v", list)
	}
}
