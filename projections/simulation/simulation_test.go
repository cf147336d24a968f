package simulation_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/simulation"
)

func TestTheSameSeedGivesTheSameHistory(t *testing.T) {
	a, b := simulation.Make(simulation.Config{Seed: 1}), simulation.Make(simulation.Config{Seed: 1})
	if !reflect.DeepEqual(a, b) {
		t.Error("two histories of one seed differ")
	}
	if reflect.DeepEqual(a, simulation.Make(simulation.Config{Seed: 2})) {
		t.Error("two seeds give one history")
	}
}

func TestEveryTypeReasonAndStateOccurs(t *testing.T) {
	types, reasons, states := map[events.Type]int{}, map[events.Reason]int{}, map[events.State]int{}
	for _, e := range simulation.Make(simulation.Config{Seed: 3, Events: 5000}).Events {
		types[e.Data.Type()]++
		states[events.Next(e.Data)]++
		switch d := e.Data.(type) {
		case events.TaskFailed:
			reasons[d.Reason]++
		case events.TaskReleased:
			reasons[d.Reason]++
		default:
		}
	}
	for _, typ := range events.Types {
		if types[typ] == 0 {
			t.Errorf("no %s", typ)
		}
	}
	for _, s := range events.States {
		if states[s] == 0 {
			t.Errorf("no task is ever %s", s)
		}
	}
	for _, r := range []events.Reason{
		events.ReasonError, events.ReasonPanic, events.ReasonTimeout, events.ReasonAbandoned, events.ReasonRejected,
		events.ReasonShutdown, events.ReasonNoHandler,
	} {
		if reasons[r] == 0 {
			t.Errorf("nothing for the reason %s", r)
		}
	}
}

func TestASourceBeginsAfterTheCheckpoint(t *testing.T) {
	h := simulation.Make(simulation.Config{Seed: 4, Events: 100})
	for from := range h.Events {
		n := from + 1
		for e, err := range h.After(t.Context(), h.Events[from].ID) {
			if err != nil || e.ID != h.Events[n].ID {
				t.Fatalf("after %d: %s, %v; want %s", from, e.ID, err, h.Events[n].ID)
			}
			n++
		}
		if n != len(h.Events) {
			t.Fatalf("after %d: it ended at %d", from, n)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range h.After(ctx, events.ID{}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that the context ended", err)
		}
	}
}
