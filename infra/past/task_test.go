package past_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/simulation"
)

func TestATaskIsAsItWasAtTheInstantWithTheEventsUpToThen(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	list := history(t, log, p, simulation.Config{Seed: 11, Events: 400}) // there are no rows
	keep(t, log, p, list[:300])
	for _, n := range []int{100, 301} {
		tasks := map[string]events.Task{}
		for _, e := range list[:n] {
			if e.Task == "" {
				continue
			}
			next, err := tasks[e.Task].Evolve(e)
			if err != nil {
				t.Fatal(err)
			}
			tasks[e.Task] = next
		}
		for id, want := range tasks {
			got, entries, err := s.Task(t.Context(), id, list[n-1].ID, false)
			if err != nil || !reflect.DeepEqual(got, want) || len(entries) != len(want.Events) {
				t.Fatalf("%+v, %v; want %+v", got, err, want)
			}
		}
	}
	for id, until := range map[string]events.ID{"task-0": list[0].ID.Prev(), "nobody": events.MaxID, "no\nname": events.MaxID} {
		if _, _, err := s.Task(t.Context(), id, until, true); !errors.Is(err, eventlog.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// life asks for a task and cancels it.
func life(t *testing.T, log *eventlog.Log, id, queue string) {
	t.Helper()
	_, err := log.Request(t.Context(), eventlog.Request{
		Task: id, Label: events.Label{Queue: queue, Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
	})
	if err == nil {
		_, err = log.Cancel(t.Context(), id, "test", "")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestOfATaskThatWasAskedForAgainTheLifeIsToldThatItHadThen(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	life(t, log, "a", "first")
	first, err := log.Last(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Conn().View.Del(t.Context(), p.Task("a")).Err(); err != nil { // its retention is over
		t.Fatal(err)
	}
	life(t, log, "a", "second")
	for until, queue := range map[events.ID]string{first: "first", events.MaxID: "second"} {
		got, entries, err := s.Task(t.Context(), "a", until, false)
		if err != nil || got.Queue != queue || got.State != events.StateCancelled || len(entries) != 2 {
			t.Errorf("as of %s: %+v, %v", until, got, err)
		}
	}
}

func TestATaskWhoseFirstEventsWereRemovedIsNotOneThatThereNeverWas(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	life(t, log, "a", "q")
	life(t, log, "b", "q")
	if _, _, err := s.Task(t.Context(), "c", events.MaxID, true); !errors.Is(err, eventlog.ErrNotFound) || errors.As(err, new(*past.UnknownError)) {
		t.Errorf("of a task that never was is said: %v", err)
	}
	b, err := log.Task(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	if held := trim(t, log, p, b.Events[0]); held != nil {
		t.Fatalf("%+v", held)
	}
	for _, id := range []string{"a", "b"} { // all of one, and the first of the other
		if _, _, err := s.Task(t.Context(), id, events.MaxID, true); !errors.As(err, new(*past.UncoveredError)) {
			t.Errorf("of task %s is said: %v", id, err)
		}
	}
	unknown := new(past.UnknownError)
	if _, _, err := s.Task(t.Context(), "c", events.MaxID, true); !errors.Is(err, eventlog.ErrNotFound) || !errors.As(err, &unknown) || unknown.Removed != 3 {
		t.Errorf("of a task that may have been there is said: %v", err)
	}
}

func TestATaskThatIsForgottenIsFoundByReadingAllOfTheLog(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	var list []events.Event
	at := events.ID{Ms: 1}
	for n := range 2001 { // one more than are remembered
		l := events.Label{Queue: "q", Name: "n"}
		id := "t" + string(rune('a'+n%26)) + at.String()
		list = append(list,
			events.Event{ID: at, Task: id, Data: events.TaskRequested{Label: l, Definition: events.Definition{MaxAttempts: 1}}},
			events.Event{ID: at.Next(), Task: id, Data: events.TaskCancelled{Label: l, From: events.StateWaiting}})
		at.Ms++
	}
	write(t, log, p, list)
	if _, _, err := s.Task(t.Context(), list[0].Task, events.MaxID, false); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("%v", err)
	}
	got, _, err := s.Task(t.Context(), list[0].Task, events.MaxID, true)
	if err != nil || got.State != events.StateCancelled {
		t.Errorf("%+v, %v", got, err)
	}
}
