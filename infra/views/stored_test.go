package views_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/tasks"
)

func TestAFoldInMemoryHasTheFieldsThatAreStored(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		if _, err := h.store.Stored(t.Context(), p); !errors.Is(err, views.ErrNone) {
			t.Errorf("%v, want that there are none", err)
		}
		h.request("a", "mail", "send", time.Hour)
		h.request("b", "mail", "send", 0)
		h.project()
		h.cancel("a")
		h.complete(p, "mail")
		h.project()
		stored, err := h.store.Stored(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		fold, fields := views.Begin(p), map[string]map[string]string{}
		h.read(fold, p, 2)
		fold.Fields(fields)
		h.read(fold, p, 100)
		fold.Fields(fields)
		if fold.Checkpoint != stored.Checkpoint || fold.Read != stored.Read {
			t.Errorf("%+v, want %+v", fold.Head, stored.Head)
		}
		if !maps.EqualFunc(fields, stored.Fields, maps.Equal) {
			t.Errorf("%v\nwant\n%v", fields, stored.Fields)
		}
	})
}

func TestTheIndexIsReadPageByPage(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		const n = 1100
		for i := range n {
			h.request(string(rune('a'+i%26))+time.Duration(i).String(), "mail", "send", 0)
		}
		h.project()
		stored, err := h.store.Stored(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		found := func(state events.State) map[string]int64 {
			all := map[string]int64{}
			for at, err := range h.store.Index(t.Context(), p, stored.Index, tasks.Place{State: state, Queue: "mail"}) {
				if err != nil {
					t.Fatal(err)
				}
				all[at.Task] = at.Ms
			}
			return all
		}
		waiting := found(events.StateWaiting)
		if len(waiting) != n {
			t.Errorf("%d tasks wait, want %d", len(waiting), n)
		}
		claims := []views.Claim{{Task: "nobody", Place: tasks.Place{State: events.StateWaiting, Queue: "mail"}}}
		for _, id := range slices.Sorted(maps.Keys(waiting))[:10] {
			claims = append(claims, views.Claim{Task: id, Place: tasks.Place{State: events.StateWaiting, Queue: "mail"}})
		}
		head, at, err := h.store.At(t.Context(), p, stored.Index, claims)
		if err != nil || head != stored.Head || at[0] != -1 {
			t.Errorf("%+v, %v, %v", head, at, err)
		}
		for i, c := range claims[1:] {
			if at[i+1] != waiting[c.Task] {
				t.Errorf("task %s at %d, want %d", c.Task, at[i+1], waiting[c.Task])
			}
		}
		h.complete(p, "mail")
		h.project()
		if done := found(events.StateCompleted); len(done) != n {
			t.Errorf("%d tasks are completed, want %d", len(done), n)
		}
	})
}
