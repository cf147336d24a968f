package audit_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/audit"
	"github.com/tasklog/tasklog/projections/simulation"
)

// run audits events.
func run(list []events.Event, settled bool) audit.Report {
	a := audit.New(audit.Config{Home: func(task string) bool { return task != foreign }})
	for _, e := range list {
		a.Apply(e)
	}
	return a.Report(settled)
}

func TestALegalLogHasNoViolation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: rapid.IntRange(1, 600).Draw(t, "events"),
			StepMs: rapid.SampledFrom([]int64{1, 5, 50, 60_000}).Draw(t, "step"),
		})
		r := run(h.Events, false)
		if r.ViolationCount != 0 {
			t.Fatalf("%v", r.Violations)
		}
		if r.Tasks != int64(len(h.Tasks)) || r.Events != int64(len(h.Events)) || r.OffBackoff != 0 || r.Believed != 0 {
			t.Errorf("%d tasks, %d events, %d off their backoff, %d believed; want %d tasks, %d events",
				r.Tasks, r.Events, r.OffBackoff, r.Believed, len(h.Tasks), len(h.Events))
		}
		states := map[events.State]int64{}
		for _, task := range h.Tasks {
			states[task.State]++
		}
		for _, s := range events.States {
			if r.States[s] != states[s] {
				t.Errorf("%d tasks are %s, want %d", r.States[s], s, states[s])
			}
		}
	})
}

func TestTheSummaryOfATaskIsThatOfItsEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{Seed: rapid.Uint64().Draw(t, "seed"), Events: 400})
		a := audit.New(audit.Config{})
		for _, e := range h.Events {
			a.Apply(e)
		}
		for id, task := range h.Tasks {
			got, ok := a.Task(id)
			if why := got.Differs(audit.Of(task)); !ok || why != "" {
				t.Errorf("task %s is known: %t; %s\n%+v\n%+v", id, ok, why, got, audit.Of(task))
			}
			a.Mark(id)
		}
		for id, s := range a.Unseen() {
			t.Errorf("task %q is unseen: %+v", id, s)
		}
	})
}

func TestASummaryTellsEveryWayInWhichARowCanDiffer(t *testing.T) {
	h := simulation.Make(simulation.Config{Seed: 1, Events: 3000})
	a := audit.New(audit.Config{})
	for _, e := range h.Events {
		a.Apply(e)
	}
	for name, change := range map[string]func(t *events.Task){
		"state":     func(t *events.Task) { t.State = "odd" },
		"attempt":   func(t *events.Task) { t.Attempt++ },
		"uncounted": func(t *events.Task) { t.Uncounted++ },
		"due":       func(t *events.Task) { t.DueAt++ },
		"queue":     func(t *events.Task) { t.Queue += "x" },
		"name":      func(t *events.Task) { t.Name += "x" },
		"payload":   func(t *events.Task) { t.Payload = []byte("1") },
		"backoff":   func(t *events.Task) { t.Backoff.DelayMs++ },
		"jitter":    func(t *events.Task) { t.Backoff.Jitter = new(0.123) },
		"token":     func(t *events.Task) { t.Token += "x" },
		"worker":    func(t *events.Task) { t.Worker += "x" },
		"retry":     func(t *events.Task) { t.RetryID += "x" },
		"last":      func(t *events.Task) { t.Events = t.Events[:len(t.Events)-1] },
		"history":   func(t *events.Task) { t.Events = append([]events.ID{{Ms: 1}}, t.Events...) },
	} {
		for id, task := range h.Tasks {
			have, _ := a.Task(id)
			task.Events = slices.Clone(task.Events)
			untold := task.State == events.StateCompleted && slices.Contains([]string{"name", "payload", "backoff", "jitter"}, name)
			change(&task)
			if why := have.Differs(audit.Of(task)); (why == "") != untold {
				t.Errorf("task %s, %s: the difference is %q", id, name, why)
			}
		}
	}
}

func TestEveryMutationIsDetected(t *testing.T) {
	var logs []log
	for seed := range uint64(8) {
		logs = append(logs, newLog(simulation.Make(simulation.Config{Seed: seed, Events: 400}).Events))
	}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			tried := 0
			for _, l := range logs {
				places := m.places(l)
				for n := 0; n < len(places); n += 1 + len(places)/3 {
					tried++
					detect(t, m, l, places[n])
				}
			}
			if tried < 5 {
				t.Errorf("only %d places to damage", tried)
			}
		})
	}
}

type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// detect fails the test unless a mutation is found, and is one of those things that it is.
func detect(t failer, m mutation, l log, i int) {
	t.Helper()
	damaged := m.do(l, i)
	settled := slices.Equal(m.breaks, []audit.Invariant{audit.Settled})
	r := run(damaged, settled)
	for _, v := range r.Violations {
		if len(m.breaks) == 0 || slices.Contains(m.breaks, v.Invariant) {
			return
		}
	}
	t.Errorf("%s at %d, %+v: not detected, but %v", m.name, i, l.events[i], r.Violations)
}

func TestAnyMutationAnywhereIsDetected(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLog(simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: 300, StepMs: rapid.SampledFrom([]int64{5, 50}).Draw(t, "step"),
		}).Events)
		m := rapid.SampledFrom(mutations).Draw(t, "mutation")
		places := m.places(l)
		if len(places) == 0 {
			t.Skip("no place for it")
		}
		detect(t, m, l, rapid.SampledFrom(places).Draw(t, "place"))
	})
}

func TestEveryInvariantIsExercisedByALongLogAndBrokenByAMutation(t *testing.T) {
	r := run(simulation.Make(simulation.Config{Seed: 5, Events: 5000}).Events, true)
	for _, what := range r.NoExample() {
		if what != "invariant whole" { // only whoever reads the log can judge that
			t.Errorf("no example of %s", what)
		}
	}
	broken := map[audit.Invariant]bool{audit.Whole: true}
	for _, m := range mutations {
		for _, i := range m.breaks {
			broken[i] = true
		}
	}
	for _, i := range audit.Invariants() {
		if !broken[i] {
			t.Errorf("no mutation breaks %s: %s", i, i.Says())
		}
	}
}

func TestAnEmptyLogIsAnExampleOfNothing(t *testing.T) {
	r := run(nil, true)
	want := len(events.Types) + 7 + len(audit.Invariants())
	if got := r.NoExample(); len(got) != want || r.ViolationCount != 0 {
		t.Errorf("%d things without an example, want %d: %v", len(got), want, got)
	}
}

func TestATrimmedLogIsBelieved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{Seed: rapid.Uint64().Draw(t, "seed"), Events: 500})
		from := rapid.IntRange(0, len(h.Events)).Draw(t, "from")
		a := audit.New(audit.Config{Trimmed: true})
		for _, e := range h.Events[from:] {
			a.Apply(e)
		}
		if r := a.Report(false); r.ViolationCount != 0 {
			t.Fatalf("%v", r.Violations)
		}
		for id, task := range h.Tasks {
			if s, ok := a.Task(id); ok {
				if why := s.Differs(audit.Of(task)); why != "" {
					t.Errorf("task %s: %s", id, why)
				}
			}
		}
	})
}

func TestAnEntryThatIsNoEventIsAViolation(t *testing.T) {
	a := audit.New(audit.Config{Limit: 1})
	a.Undecodable(events.ID{Ms: 1}, events.ErrUndecodable)
	a.Undecodable(events.ID{Ms: 2}, events.ErrUndecodable)
	r := a.Report(true)
	if r.Undecodable != 2 || r.ViolationCount != 2 || len(r.Violations) != 1 || r.Violations[0].Invariant != audit.Known {
		t.Errorf("%+v", r)
	}
}

func TestReportsOfPartitionsAreAdded(t *testing.T) {
	var both audit.Report
	a := run(simulation.Make(simulation.Config{Seed: 1}).Events, true)
	b := run(simulation.Make(simulation.Config{Seed: 2}).Events, true)
	both.Merge(a, 3)
	both.Merge(b, 3)
	if both.Events != a.Events+b.Events || both.Tasks != a.Tasks+b.Tasks || len(both.Violations) != 3 ||
		both.ViolationCount != a.ViolationCount+b.ViolationCount || both.Latency.Due.Max != max(a.Latency.Due.Max, b.Latency.Due.Max) ||
		both.Latency.Start.Count != a.Latency.Start.Count+b.Latency.Start.Count {
		t.Errorf("%+v", both)
	}
}

func ExampleAudit() {
	about := events.Label{Queue: "mail", Name: "send"}
	a := audit.New(audit.Config{})
	a.Apply(events.Event{ID: events.ID{Ms: 1000}, Task: "t", Data: events.TaskRequested{
		Label: about, Definition: events.Definition{MaxAttempts: 1}, DueAt: 6000, DelayMs: 5000,
	}})
	a.Apply(events.Event{ID: events.ID{Ms: 5900}, Task: "t", Data: events.TaskDue{
		Label: about, Attempt: 1, DueAt: 6000, From: events.StateDelayed,
	}})
	for _, v := range a.Report(false).Violations {
		fmt.Println(v.Entry, v.Task, v.Invariant, v.Text)
	}
	// Output: 5900-0 t early 100 ms early
}
