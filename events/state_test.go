package events_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
)

// life leads a task into each state. It has run once before in the states where that can be.
var life = map[events.State][]events.Data{
	events.StateNone:      nil,
	events.StateDelayed:   {requested(5)},
	events.StateWaiting:   {requested(0)},
	events.StateDue:       {requested(0), due(1, "waiting")},
	events.StateActive:    {requested(0), due(1, "waiting"), started(1)},
	events.StateRetrying:  {requested(0), due(1, "waiting"), started(1), failed(1, 20)},
	events.StateCompleted: {requested(0), due(1, "waiting"), started(1), completed(1)},
	events.StateFailed:    {requested(0), due(1, "waiting"), started(1), failed(1, 0)},
	events.StateCancelled: {requested(0), cancelled("waiting")},
}

func requested(delay int64) events.Data {
	return events.TaskRequested{
		Label: about, Definition: events.Definition{MaxAttempts: 2, Priority: 3}, DueAt: delay, DelayMs: delay,
	}
}

func due(attempt int, from events.State) events.Data {
	return events.TaskDue{Label: about, Attempt: attempt, Priority: 3, From: from}
}

func started(attempt int) events.Data {
	return events.TaskStarted{Label: about, Attempt: attempt, Worker: "w", Token: "t"}
}

func completed(attempt int) events.Data {
	return events.TaskCompleted{Label: about, Attempt: attempt, Worker: "w"}
}

func failed(attempt int, retryAt int64) events.Data {
	return events.TaskFailed{Label: about, Attempt: attempt, Worker: "w", Reason: events.ReasonError, RetryAt: retryAt}
}

func released(attempt int, from events.State, retryAt int64) events.Data {
	return events.TaskReleased{Label: about, Attempt: attempt, Worker: "w", Reason: events.ReasonShutdown, From: from, RetryAt: retryAt}
}

func cancelled(from events.State) events.Data {
	return events.TaskCancelled{Label: about, By: "me", From: from}
}

func retried(from events.State) events.Data {
	return events.TaskRetryRequested{Label: about, By: "me", From: from}
}

// live plays events 10 ms apart on a task.
func live(t *testing.T, data []events.Data) events.Task {
	t.Helper()
	var task events.Task
	for i, d := range data {
		var err error
		if task, err = task.Evolve(events.Event{ID: events.ID{Ms: int64(10 * (i + 1))}, Task: "a", Data: d}); err != nil {
			t.Fatal(err)
		}
	}
	return task
}

func TestEveryEventInEveryState(t *testing.T) {
	if len(life) != len(events.States)+1 || len(events.Transitions) != len(events.Types)-2 {
		t.Fatal("a state or an event type has no row")
	}
	for state, history := range life {
		task := live(t, history)
		if task.State != state {
			t.Fatalf("the life of %q ends in %q", state, task.State)
		}
		running := max(task.Attempt, 1)
		follows := map[events.Type]struct {
			data events.Data
			next events.State
		}{
			events.TypeTaskRequested:      {requested(5), events.StateDelayed},
			events.TypeTaskDue:            {due(task.Attempt+1, state), events.StateDue},
			events.TypeTaskStarted:        {started(task.Attempt + 1), events.StateActive},
			events.TypeTaskCompleted:      {completed(running), events.StateCompleted},
			events.TypeTaskFailed:         {failed(running, 99), events.StateRetrying},
			events.TypeTaskReleased:       {released(running, state, 0), events.StateWaiting},
			events.TypeTaskCancelled:      {cancelled(state), events.StateCancelled},
			events.TypeTaskRetryRequested: {retried(state), events.StateWaiting},
			events.TypeQueuePaused:        {events.QueuePaused{Label: about}, events.StateNone},
			events.TypeQueueResumed:       {events.QueueResumed{Label: about}, events.StateNone},
		}
		for _, typ := range events.Types {
			f, ok := follows[typ]
			if !ok {
				t.Fatalf("no %s in the table", typ)
			}
			e := events.Event{ID: events.ID{Ms: 1000}, Task: "a", Data: f.data}
			next, err := task.Evolve(e)
			switch legal := slices.Contains(events.Transitions[typ], state); {
			case legal && err != nil:
				t.Errorf("%s in %q: %v", typ, state, err)
			case legal && (next.State != f.next || events.Next(f.data) != f.next || events.From(f.data) != state):
				t.Errorf("%s leads from %q (as it says, %q) to %q (%q), want %q", typ, state, events.From(f.data), next.State, events.Next(f.data), f.next)
			case !legal && (!errors.Is(err, events.ErrIllegal) || !reflect.DeepEqual(next, task)):
				t.Errorf("%s in %q: %v, and the task is %+v", typ, state, err, next)
			}
		}
	}
}

func TestEvolveRefuses(t *testing.T) {
	id := events.ID{Ms: 1000}
	spent := append(slices.Clone(life[events.StateRetrying]), due(2, "retrying"), started(2))
	late := []events.Data{events.TaskRequested{Label: about, Definition: events.Definition{MaxAttempts: 1}, DueAt: 2000, DelayMs: 1999}}
	tests := []struct {
		name    string
		history []events.Data
		event   events.Event
		want    string
	}{
		{"an event of another task", life[events.StateWaiting], events.Event{ID: id, Task: "b", Data: due(1, "waiting")}, "not about task a"},
		{"an event without a body", nil, events.Event{ID: id, Task: "a"}, "no body"},
		{"an event told twice", life[events.StateWaiting], events.Event{ID: events.ID{Ms: 10}, Task: "a", Data: due(1, "waiting")}, "does not lie after"},
		{"a wrong from", life[events.StateWaiting], events.Event{ID: id, Task: "a", Data: due(1, "retrying")}, "claims to leave retrying"},
		{"a missing from", life[events.StateWaiting], events.Event{ID: id, Task: "a", Data: cancelled("")}, "claims to leave nothing"},
		{"to be due early", late, events.Event{ID: id, Task: "a", Data: due(1, "delayed")}, "1000 ms early"},
		{"to skip an attempt", life[events.StateWaiting], events.Event{ID: id, Task: "a", Data: due(2, "waiting")}, "attempt 2 does not follow 0"},
		{"to start another attempt than the one due", life[events.StateDue], events.Event{ID: id, Task: "a", Data: started(2)}, "attempt 2 does not follow 0"},
		{"to release another attempt than the one due", life[events.StateDue], events.Event{ID: id, Task: "a", Data: released(2, "due", 0)}, "attempt 2 is not"},
		{"to release another attempt than the running one", life[events.StateActive], events.Event{ID: id, Task: "a", Data: released(2, "active", 0)}, "attempt 1 of w runs"},
		{"to complete another attempt", life[events.StateActive], events.Event{ID: id, Task: "a", Data: completed(2)}, "attempt 1 of w runs"},
		{"another worker's word", life[events.StateActive], events.Event{ID: id, Task: "a", Data: events.TaskCompleted{Attempt: 1, Worker: "x"}}, "attempt 1 of w runs"},
		{"a retry beyond the last attempt", spent, events.Event{ID: id, Task: "a", Data: failed(2, 2000)}, "no attempt is left"},
		{"a task without an attempt", nil, events.Event{ID: id, Task: "a", Data: events.TaskRequested{Label: about}}, "maxAttempts 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			task := live(t, test.history)
			next, err := task.Evolve(test.event)
			if !errors.Is(err, events.ErrIllegal) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if !reflect.DeepEqual(next, task) {
				t.Errorf("the refused event changed the task: %+v", next)
			}
		})
	}
}

func TestAbandonedSpeaksForTheSilentWorker(t *testing.T) {
	task := live(t, life[events.StateActive])
	d := events.TaskFailed{Attempt: 1, Reason: events.ReasonAbandoned}
	if next, err := task.Evolve(events.Event{ID: events.ID{Ms: 1000}, Task: "a", Data: d}); err != nil || next.State != events.StateFailed {
		t.Errorf("%v: %+v", err, next)
	}
	d.Attempt = 2
	if _, err := task.Evolve(events.Event{ID: events.ID{Ms: 1000}, Task: "a", Data: d}); !errors.Is(err, events.ErrIllegal) {
		t.Errorf("attempt 2 was abandoned: %v", err)
	}
}

// anyEventFor draws an event that mostly fits a task, and now and then does not.
func anyEventFor(t *rapid.T, task events.Task, ms int64) events.Event {
	odd := func(what string) bool { return rapid.IntRange(0, 15).Draw(t, what) == 0 }
	e := events.Event{ID: events.ID{Ms: ms, Seq: rapid.Uint64Range(0, 2).Draw(t, "seq")}, Task: "a"}
	if odd("other task") {
		e.Task = "b"
	}
	if odd("any body") {
		e.Data = rapid.OneOf(anyBody(), rapid.Just[events.Data](nil)).Draw(t, "body")
		return e
	}
	attempt := task.Attempt
	if task.State != events.StateActive {
		attempt++
	}
	if odd("other attempt") {
		attempt = rapid.IntRange(-1, task.Attempt+2).Draw(t, "attempt")
	}
	from := task.State
	if odd("other from") {
		from = rapid.SampledFrom(events.States).Draw(t, "from")
	}
	worker := rapid.SampledFrom([]string{"w", "w", "w", "x"}).Draw(t, "worker")
	at := func() int64 { return max(0, ms+rapid.Int64Range(-2, 3).Draw(t, "at")) }
	all := []events.Data{
		events.TaskRequested{
			Label: about, DueAt: at(), DelayMs: rapid.Int64Range(0, 1).Draw(t, "delay"),
			Definition: events.Definition{MaxAttempts: rapid.IntRange(1, 3).Draw(t, "max")},
		},
		due(attempt, from),
		events.TaskStarted{Label: about, Attempt: attempt, Worker: worker, Token: "t"},
		events.TaskCompleted{Label: about, Attempt: attempt, Worker: worker},
		events.TaskFailed{
			Label: about, Attempt: attempt, Worker: worker, RetryAt: at(),
			Reason: rapid.SampledFrom([]events.Reason{events.ReasonError, events.ReasonAbandoned}).Draw(t, "reason"),
		},
		events.TaskReleased{Label: about, Attempt: attempt, Worker: worker, From: from, RetryAt: at()},
		cancelled(from), retried(from),
		events.QueuePaused{Label: about},
		events.QueueResumed{Label: about},
	}
	fits := slices.DeleteFunc(slices.Clone(all), func(d events.Data) bool {
		return !slices.Contains(events.Transitions[d.Type()], task.State)
	})
	if len(fits) == 0 || odd("any type") {
		fits = all
	}
	e.Data = rapid.SampledFrom(fits).Draw(t, "data")
	return e
}

func TestWhateverTheLogSaysATaskStaysLegal(t *testing.T) {
	var accepted, refused int
	rapid.Check(t, func(t *rapid.T) {
		var task events.Task
		var ms int64
		var attempts []int
		var log []events.ID
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			ms += rapid.Int64Range(0, 2).Draw(t, "step")
			e := anyEventFor(t, task, ms)
			before := fmt.Sprintf("%+v", task)
			spare := append(slices.Grow(slices.Clone(task.Events), 4), events.MaxID)
			task.Events = spare[:len(task.Events)] // there is room behind: an append in place would show

			next, err := task.Evolve(e)

			if after := fmt.Sprintf("%+v", task); after != before || spare[len(spare)-1] != events.MaxID {
				t.Fatalf("Evolve changed its receiver from %s to %s", before, after)
			}
			if err != nil {
				refused++
				if !errors.Is(err, events.ErrIllegal) || !reflect.DeepEqual(next, task) {
					t.Fatalf("%v: %+v", err, next)
				}
				continue
			}
			accepted++
			log = append(log, e.ID)
			if !slices.Contains(events.Transitions[e.Data.Type()], task.State) {
				t.Fatalf("%s was accepted in %q", e.Data.Type(), task.State)
			}
			if events.From(e.Data) != task.State || events.Next(e.Data) != next.State {
				t.Fatalf("%s says %q to %q and led from %q to %q", e.Data.Type(), events.From(e.Data), events.Next(e.Data), task.State, next.State)
			}
			if task.State.Final() && e.Data.Type() != events.TypeTaskRetryRequested {
				t.Fatalf("%s left the final state %s", e.Data.Type(), task.State)
			}
			if s, ok := e.Data.(events.TaskStarted); ok {
				if len(attempts) > 0 && s.Attempt <= attempts[len(attempts)-1] {
					t.Fatalf("attempt %d after %v", s.Attempt, attempts)
				}
				attempts = append(attempts, s.Attempt)
			}
			if next.Uncounted < 0 || next.Uncounted > next.Attempt || next.Attempts() > next.MaxAttempts {
				t.Fatalf("%d of %d attempts are uncounted, the limit is %d", next.Uncounted, next.Attempt, next.MaxAttempts)
			}
			if next.Attempt != len(attempts) || !slices.Equal(next.Events, log) || next.ID != task.ID && task.ID != "" {
				t.Fatalf("%d attempts, events %v: %+v", len(attempts), log, next)
			}
			task = next
		}
	})
	if accepted == 0 || refused == 0 {
		t.Fatalf("%d events were accepted and %d refused: this proves nothing", accepted, refused)
	}
}

func TestFinalStates(t *testing.T) {
	for _, s := range events.States {
		var leaves []events.Type
		for typ, from := range events.Transitions {
			if slices.Contains(from, s) {
				leaves = append(leaves, typ)
			}
		}
		open := slices.ContainsFunc(leaves, func(typ events.Type) bool { return typ != events.TypeTaskRetryRequested })
		if s.Final() == open {
			t.Errorf("%s is final: %t, and may be left by %v", s, s.Final(), leaves)
		}
	}
}
