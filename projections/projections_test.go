package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/names"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/projections/tasks"
	"github.com/tasklog/tasklog/projections/throughput"
	"github.com/tasklog/tasklog/projections/workers"
)

var kinds = map[string]func() projections.View{
	"queues":     func() projections.View { return new(queues.View) },
	"throughput": func() projections.View { return new(throughput.View) },
	"names":      func() projections.View { return new(names.View) },
	"workers":    func() projections.View { return new(workers.View) },
	"tasks":      func() projections.View { return new(tasks.View) },
}

// store is what a store of fields does.
func store(into map[string]string, v projections.View) {
	for field, value := range v.Changed() {
		if value == nil {
			delete(into, field)
		} else {
			into[field] = string(value)
		}
	}
}

func dump(fields map[string]string) string {
	var b bytes.Buffer
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		fmt.Fprintf(&b, "%s = %s\n", f, fields[f])
	}
	return b.String()
}

func history(t *rapid.T) simulation.History {
	return simulation.Make(simulation.Config{
		Seed:   rapid.Uint64().Draw(t, "seed"),
		Events: rapid.IntRange(1, 600).Draw(t, "events"),
		StepMs: rapid.SampledFrom([]int64{5, 50, 60_000, 3_600_000}).Draw(t, "step"),
	})
}

func TestAnyBatchesAndAnyRestartsGiveTheSameBytes(t *testing.T) {
	for name, empty := range kinds {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				h := history(t)
				all := map[string]string{}
				whole := empty()
				if _, err := projections.Replay(t.Context(), h, events.ID{}, events.MaxID, whole); err != nil {
					t.Fatal(err)
				}
				store(all, whole)

				parts := map[string]string{}
				v := empty()
				for _, e := range h.Events {
					v.Apply(e)
					switch rapid.IntRange(0, 9).Draw(t, "then") {
					case 0:
						store(parts, v)
					case 1: // a crash after the batch was stored
						store(parts, v)
						v = empty()
						if err := v.Load(parts); err != nil {
							t.Fatal(err)
						}
					}
				}
				store(parts, v)
				if got, want := dump(parts), dump(all); got != want {
					t.Errorf("in batches:\n%s\nat once:\n%s", got, want)
				}
			})
		})
	}
}

func TestReplayGoesOnFromItsCheckpoint(t *testing.T) {
	h := simulation.Make(simulation.Config{Seed: 7})
	var once, twice queues.View
	if _, err := projections.Replay(t.Context(), h, events.ID{}, events.MaxID, &once); err != nil {
		t.Fatal(err)
	}
	half, err := projections.Replay(t.Context(), h, events.ID{}, h.Events[333].ID, &twice)
	if err != nil || half.Checkpoint != h.Events[333].ID || half.Events != 334 {
		t.Fatalf("%+v, %v; want the first 334 events", half, err)
	}
	rest, err := projections.Replay(t.Context(), h, half.Checkpoint, events.MaxID, &twice)
	if err != nil || rest.Events != len(h.Events)-334 {
		t.Fatalf("%+v, %v; want the rest", rest, err)
	}
	a, b := map[string]string{}, map[string]string{}
	store(a, &once)
	store(b, &twice)
	if dump(a) != dump(b) {
		t.Errorf("in two halves:\n%s\nat once:\n%s", dump(b), dump(a))
	}
}

func TestLoadRefusesWhatIsNotOurs(t *testing.T) {
	for name, fields := range map[string]map[string]string{
		"queues":     {"mail": `{"recent":[1,2,3]}`},
		"throughput": {"no slot": `{}`},
		"names":      {"names q": `{"names":"q"}`},
		"workers":    {"w": `[1]`},
		"tasks":      {"mail": `{"cancelled":"many"}`},
	} {
		if err := kinds[name]().Load(fields); err == nil {
			t.Errorf("%s loads %v", name, fields)
		}
	}
	for _, field := range []string{"", "60", "61 1", "60 1 ", "60 x mail", "10 1 mail"} {
		if err := new(throughput.View).Load(map[string]string{field: `{}`}); err == nil {
			t.Errorf("throughput loads the field %q", field)
		}
	}
	for _, field := range []string{"", "1", "1 4 mail", "1 5 mail n", "1 -1 mail n", "x 4 mail n"} {
		if err := new(names.View).Load(map[string]string{field: `{}`}); err == nil {
			t.Errorf("names loads the field %q", field)
		}
	}
	for _, wait := range []string{`[]`, `[1,2]`, `[1,-1,1]`, `[1,3,0]`, `[1,99999,1]`, `{}`} {
		field := map[string]string{"60 29400000 mail": `{"wait":` + wait + `}`}
		if err := new(throughput.View).Load(field); err == nil {
			t.Errorf("throughput loads the histogram %s", wait)
		}
	}
}

// torn is a source with an entry that is no event after each event, and an end that is an error.
type torn struct{ simulation.History }

var errTorn = errors.New("torn")

func (s torn) After(ctx context.Context, checkpoint events.ID) iter.Seq2[events.Event, error] {
	return func(yield func(events.Event, error) bool) {
		for e, err := range s.History.After(ctx, checkpoint) {
			bad := events.Event{ID: events.ID{Ms: e.ID.Ms, Seq: e.ID.Seq + 1<<20}}
			if !yield(e, err) || !yield(bad, fmt.Errorf("%w %s", events.ErrUndecodable, bad.ID)) {
				return
			}
		}
		yield(events.Event{}, errTorn)
	}
}

func TestReplaySkipsWhatIsNoEventAndStopsAtErrors(t *testing.T) {
	h := simulation.Make(simulation.Config{Seed: 8, Events: 50, StepMs: 1000})
	var got, want queues.View
	done, err := projections.Replay(t.Context(), torn{h}, events.ID{}, events.MaxID, &got)
	if !errors.Is(err, errTorn) || done.Events != 50 || done.Skipped != 50 || done.Checkpoint.Compare(h.Events[49].ID) <= 0 {
		t.Errorf("%+v, %v; want 50 events, 50 skipped, and the error", done, err)
	}
	if _, err := projections.Replay(t.Context(), h, events.ID{}, events.MaxID, &want); err != nil {
		t.Fatal(err)
	}
	a, b := map[string]string{}, map[string]string{}
	store(a, &got)
	store(b, &want)
	if dump(a) != dump(b) {
		t.Errorf("%s\nwant\n%s", dump(a), dump(b))
	}
}
