package views_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/tasks"
)

// shadow makes views of what the stored ones have, beside them.
func (h *house) shadow(p eventlog.Partition) *views.Shadow {
	h.Helper()
	s, err := h.store.Shadow(h.Context(), p)
	if err != nil {
		h.Fatal(err)
	}
	target, err := h.store.Target(h.Context(), p)
	if err != nil {
		h.Fatal(err)
	}
	entries, err := h.log.Range(h.Context(), p, events.ID{}, target, 100_000)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		if s.Full(e) {
			h.must(s.Write(h.Context()))
		}
		s.Add(e)
	}
	h.must(s.Write(h.Context()))
	return s
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// spoil changes a field of a stored view that the log gives otherwise.
func (h *house) spoil(p eventlog.Partition, view, field, value string) {
	h.Helper()
	h.must(h.log.Conn().View.HSet(h.Context(), p.View(view), field, value).Err())
}

// stored returns the fields of the stored views.
func (h *house) stored(p eventlog.Partition) map[string]map[string]string {
	h.Helper()
	s, err := h.store.Stored(h.Context(), p)
	h.must(err)
	return s.Fields
}

// lived gives a partition tasks that wait, and some that are over.
func lived(h *house) eventlog.Partition {
	h.Helper()
	p := h.log.Partitions()[0]
	for i := range 20 {
		h.request(fmt.Sprintf("t%d", i), "done", "n", 0)
	}
	h.complete(p, "done")
	for i := range 10 {
		h.request(fmt.Sprintf("w%d", i), "q", "n", time.Hour)
	}
	h.cancel("w3")
	h.project()
	return p
}

// indexed lists what lived gives a partition, by the index: of a queue, the log's end is not looked at.
func (h *house) indexed() (ids []string) {
	h.Helper()
	for _, queue := range []string{"q", "done"} {
		list, _ := h.pages(views.Filter{Queue: queue}, nil)
		ids = append(ids, list...)
	}
	return ids
}

func TestAShadowIsNotSeenBeforeItIsSwappedInAndThenAtOnce(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := lived(h)
		good := h.stored(p)
		listed := h.indexed()
		h.spoil(p, "queues", "q", `{"counts":{"delayed":3},"totals":{"requested":1,"completed":0,"failed":0,"cancelled":0,"attemptsFailed":0}}`)
		h.spoil(p, "workers", "nobody", `{"started":1}`)
		bad := h.stored(p)
		projector := h.load(p)
		h.request("later", "q", "n", 0)
		h.read(projector, p, 100)

		s := h.shadow(p)
		if got := h.stored(p); !maps.EqualFunc(got, bad, maps.Equal) {
			t.Errorf("before the swap readers see\n%v, want\n%v", got, bad)
		}
		old, err := s.Old(t.Context())
		h.must(err)
		fields, err := s.Gather(t.Context())
		h.must(err)
		var wrong []string
		for _, d := range views.Compare(p, old.Fields, fields) {
			wrong = append(wrong, d.View+" "+d.Field)
		}
		if got := strings.Join(wrong, ", "); got != "queues q, workers nobody" {
			t.Errorf("different is %s", got)
		}
		if index, err := s.CompareIndex(t.Context(), old); err != nil || len(index) != 0 {
			t.Errorf("%v, %v: the index is right", index, err)
		}
		h.must(s.Swap(t.Context(), ""))
		h.must(s.Swap(t.Context(), "")) // a reply that was not heard of
		if got := h.stored(p); !maps.EqualFunc(got, good, maps.Equal) {
			t.Errorf("after the swap readers see\n%v, want\n%v", got, good)
		}
		if err := h.store.Save(t.Context(), projector, owner, ttl); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want that a projector is told ErrMoved", err)
		}
		again := h.indexed()
		h.must(h.store.Sweep(t.Context(), p, s.Generation))
		swept := h.indexed()
		for what, got := range map[string][]string{"after the swap": again, "after the sweep": swept} {
			if strings.Join(got, " ") != strings.Join(listed, " ") {
				t.Errorf("%s %v are listed, want %v", what, got, listed)
			}
		}
		if f := h.load(p); f.Checkpoint != old.Checkpoint || !f.Swept() || f.Read != old.Read {
			t.Errorf("%+v, want %+v", f.Head, old.Head)
		}
		if left := h.log.Conn().View.Keys(t.Context(), "*:view:shadow*").Val(); len(left) != 0 {
			t.Errorf("%q are left", left)
		}
	})
}

func TestATaskThatBeginsAgainStandsTheSameWhateverWasStoredAtOnce(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		for _, end := range []func(){func() { h.cancel("a") }, func() { h.complete(p, "q") }, func() { h.cancel("a") }, func() {}} {
			h.request("a", "q", "n", 0)
			end()
			h.must(h.log.Conn().View.Del(t.Context(), p.Task("a")).Err()) // it was over, and is forgotten
		}
		f := h.load(p)
		for h.read(f, p, 1); f.Dirty(); h.read(f, p, 1) { // one entry at a time
			h.must(h.store.Save(t.Context(), f, owner, ttl))
		}
		index := func() (all []string) {
			head := h.load(p).Head
			for _, state := range events.States {
				for at, err := range h.store.Index(t.Context(), p, head.Index, tasks.Place{State: state, Queue: "q"}) {
					h.must(err)
					all = append(all, fmt.Sprint(state, at))
				}
			}
			return all
		}
		want := index()
		s := h.shadow(p)
		_, err := s.Old(t.Context())
		h.must(err)
		h.must(s.Swap(t.Context(), ""))
		if got := index(); len(want) != 3 || !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestAnIndexThatLacksTasksIsFoundAndMended(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := lived(h)
		rdb := h.log.Conn().View
		index := h.load(p).Index
		h.must(rdb.ZRem(t.Context(), p.View(fmt.Sprintf("tasks:%d:delayed:q", index)), "w1", "w2").Err())
		h.must(rdb.LPop(t.Context(), p.View(fmt.Sprintf("tasks:%d:completed:done", index))).Err())
		s := h.shadow(p)
		old, err := s.Old(t.Context())
		h.must(err)
		_, err = s.Gather(t.Context())
		h.must(err)
		found, err := s.CompareIndex(t.Context(), old)
		want := []views.Difference{
			{View: "tasks", Field: "completed done", Stored: "19", Log: "20"}, {View: "tasks", Field: "delayed q", Stored: "7", Log: "9"},
		}
		if err != nil || len(found) != 2 || found[0] != want[0] || found[1] != want[1] {
			t.Errorf("%+v, %v; want %+v", found, err, want)
		}
		h.must(s.Swap(t.Context(), "tasks"))
		if listed, _ := h.pages(views.Filter{Queue: "q", State: events.StateDelayed}, nil); len(listed) != 9 {
			t.Errorf("%v are listed, want 9", listed)
		}
	})
}

func TestAViewIsSwappedAloneAndTheOthersStay(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := lived(h)
		good := h.stored(p)
		h.spoil(p, "queues", "nobody", `{}`)
		h.spoil(p, "workers", "nobody", `{"started":1}`)
		projector := h.load(p)
		s := h.shadow(p)
		old, err := s.Old(t.Context())
		h.must(err)
		h.must(s.Swap(t.Context(), "queues"))
		got := h.stored(p)
		if !maps.Equal(got["queues"], good["queues"]) || !maps.Equal(got["workers"], old.Fields["workers"]) {
			t.Errorf("%v\nwant the queues of %v\nand all else of %v", got, good, old.Fields)
		}
		f := h.load(p)
		if f.Checkpoint != old.Checkpoint || f.Index != old.Index || f.Generation == old.Generation {
			t.Errorf("%+v, want another generation of %+v", f.Head, old.Head)
		}
		h.request("later", "q", "n", 0)
		h.read(projector, p, 100)
		if err := h.store.Save(t.Context(), projector, owner, ttl); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want ErrMoved for one that knows the old view", err)
		}
		h.must(h.store.Sweep(t.Context(), p, f.Generation))
		h.project()
		if listed, _ := h.pages(views.Filter{Queue: "q", State: events.StateDelayed}, nil); len(listed) != 9 {
			t.Errorf("%v are listed, want 9", listed)
		}
	})
}

func TestASwapIsRefusedWhereTheViewsMoved(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := lived(h)
		late, s := h.shadow(p), h.shadow(p)
		for _, s := range []*views.Shadow{late, s} {
			_, err := s.Old(t.Context())
			h.must(err)
		}
		h.request("later", "q", "n", 0)
		h.project()
		want := h.stored(p)
		if err := s.Swap(t.Context(), ""); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want ErrMoved after a projector stored", err)
		}
		_, err := h.store.Reset(t.Context(), p, owner, ttl)
		h.must(err)
		h.project()
		if err := late.Swap(t.Context(), ""); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want ErrMoved after a reset", err)
		}
		if got := h.stored(p); !maps.EqualFunc(got, want, maps.Equal) {
			t.Errorf("%v\nwant\n%v", got, want)
		}
	})
}

func TestWhatADeadShadowLeftIsSweptAndALiveOneStays(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := lived(h)
		rdb := h.log.Conn().View
		generation := h.load(p).Generation
		h.must(h.store.Sweep(t.Context(), p, generation))
		before := rdb.DBSize(t.Context()).Val()
		dead, alive := h.shadow(p), h.shadow(p)
		if h.load(p).Swept() {
			t.Error("a projector that starts is not told that there is something to sweep")
		}
		_, err := alive.Old(t.Context())
		h.must(err)
		// It was not written for so long that Redis forgot it.
		h.must(rdb.Del(t.Context(), p.View(fmt.Sprintf("shadow:%d", dead.Generation))).Err())
		h.must(h.store.Sweep(t.Context(), p, generation))
		if h.load(p).Swept() {
			t.Error("all is said to be swept while a shadow is made")
		}
		for _, what := range []func() error{
			func() error { return dead.Write(t.Context()) },
			func() error { return dead.Swap(t.Context(), "") },
		} {
			if err := what(); !errors.Is(err, views.ErrMoved) {
				t.Errorf("%v, want ErrMoved", err)
			}
		}
		h.must(alive.Swap(t.Context(), ""))
		h.must(h.store.Sweep(t.Context(), p, alive.Generation))
		if after := rdb.DBSize(t.Context()).Val(); after != before || !h.load(p).Swept() {
			t.Errorf("%d keys, want %d: %v", after, before, rdb.Keys(t.Context(), "*:view:*").Val())
		}
		if listed := h.indexed(); len(listed) != 30 {
			t.Errorf("%d tasks are listed, want 30", len(listed))
		}
	})
}
