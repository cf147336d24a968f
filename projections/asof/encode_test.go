package asof_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/projections/simulation"
)

// encoded folds events into a view that is encoded and decoded wherever cut says so.
func encoded(t interface{ Fatal(...any) }, list []events.Event, cut func(i int) bool) []byte {
	v := new(asof.View)
	for i, e := range list {
		if cut(i) {
			data := v.Encode()
			next, err := asof.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(next.Encode(), data) {
				t.Fatal("what was decoded is encoded to other bytes")
			}
			v = next
		}
		v.Apply(e)
	}
	return v.Encode()
}

func never(int) bool { return false }

func TestTheSameEventsMakeTheSameBytesWhereverTheFoldWentOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		list := simulation.Make(simulation.Config{Seed: seed, Events: 400}).Events
		cuts := rapid.SliceOf(rapid.IntRange(0, len(list)-1)).Draw(t, "cuts")
		at := map[int]bool{}
		for _, i := range cuts {
			at[i] = true
		}
		if got, want := encoded(t, list, func(i int) bool { return at[i] }), encoded(t, list, never); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d", len(got), len(want))
		}
	})
}

func TestTasksAreForgottenAtTheSamePlacesWhereverTheFoldWentOn(t *testing.T) {
	var list []events.Event
	for n := range 5 * asof.Keep {
		list = append(list, life(n, n%50 == 0)...)
		if n%3 == 2 { // a person opens the task before again, and it waits
			last := list[len(list)-1]
			if last.Data.Type() == events.TypeTaskCancelled {
				list = append(list, events.Event{
					ID: last.ID.Next(), Task: last.Task, Data: events.TaskRetryRequested{Label: last.Data.About(), From: events.StateCancelled},
				})
			}
		}
	}
	dice := rand.New(rand.NewPCG(1, 2))
	want := encoded(t, list, never)
	for range 3 {
		if got := encoded(t, list, func(int) bool { return dice.IntN(700) == 0 }); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d", len(got), len(want))
		}
	}
}

func TestWhatIsCountedBesideEventsIsEncodedToo(t *testing.T) {
	v, err := asof.Decode((&asof.View{Skipped: 3, Missed: 4}).Encode())
	if err != nil || v.Skipped != 3 || v.Missed != 4 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAViewTakesFewBytes(t *testing.T) {
	list := simulation.Make(simulation.Config{Seed: 4, Events: 20_000, Open: 500}).Events
	v := new(asof.View)
	for _, e := range list {
		v.Apply(e)
	}
	n := len(v.Encode())
	t.Logf("%d tasks in %d bytes", v.Len(), n)
	if n > 40*v.Len() {
		t.Errorf("%d tasks in %d bytes", v.Len(), n)
	}
}

func FuzzWhatDecodesIsAView(f *testing.F) {
	v := new(asof.View)
	f.Add(v.Encode())
	for _, e := range simulation.Make(simulation.Config{Seed: 5, Events: 60}).Events {
		v.Apply(e)
		f.Add(v.Encode())
	}
	f.Add([]byte("\x01x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := asof.Decode(data)
		if err != nil {
			return
		}
		again, err := asof.Decode(v.Encode())
		if err != nil || fmt.Sprint(again.Places(all)) != fmt.Sprint(v.Places(all)) {
			t.Errorf("%v", err)
		}
	})
}
