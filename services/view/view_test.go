package view_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/services/view"
)

func TestAViewIsTheFoldOfEveryEventOfEveryPartition(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 3)
		list := history(1, 6000)
		s := h.store()
		if got, fresh := h.read(s, 1); len(got) != 0 || fresh.Version != 0 {
			t.Errorf("a view that nobody keeps is %v, %+v", got, fresh)
		}
		h.write(list[:5000])
		h.keep(&count{version: 1})
		h.reaches(s, 1, fold(list[:5000], 1))
		h.write(list[5000:])
		h.reaches(s, 1, fold(list, 1))
		_, fresh := h.read(s, 1)
		if want := list[len(list)-1].ID.Time(); !fresh.Newest.Equal(want) || fresh.Missed != 0 || fresh.Skipped != 0 {
			t.Errorf("%+v, want the newest of %s", fresh, want)
		}
	})
}

func TestProgramsThatKeepTheSameViewShareItAndTakeOver(t *testing.T) {
	t.Parallel()
	h := build(t, testredis.Start(t).URL(), 3)
	list := history(2, 9000)
	s := h.store()
	one := h.keep(&count{version: 1})
	two := h.keep(&count{version: 1})
	h.until("both keep some partitions", func() bool {
		owners := map[string]int{}
		for _, p := range h.log.Partitions() {
			owners[h.log.Conn().View.Get(t.Context(), p.View("own:count:1:lease")).Val()]++
		}
		return len(owners) == 2 && owners[""] == 0
	})
	for i, chunk := range slices.Collect(slices.Chunk(list, 1000)) {
		h.write(chunk)
		switch i {
		case 3:
			one.stop()
		case 5:
			h.keep(&count{version: 1})
		case 6:
			two.stop()
		}
	}
	h.reaches(s, 1, fold(list, 1))
}

func TestANewVersionIsMadeBesideTheOldOneAndServedInOneStep(t *testing.T) {
	t.Parallel()
	h := build(t, testredis.Start(t).URL(), 3)
	list := history(3, 4000)
	s := h.store()
	h.write(list[:3000])
	old := h.keep(&count{version: 1})
	h.reaches(s, 1, fold(list[:3000], 1))

	open := make(chan struct{})
	var folded atomic.Int64
	h.keep(&count{version: 2, before: func(events.Event) {
		if folded.Add(1) > 2500 {
			<-open
		}
	}})
	h.until("the new version is made", func() bool { return folded.Load() > 2500 })
	for i := range list[3000:] {
		list[3000+i].ID.Ms += time.Minute.Milliseconds() // so that who lacks them has not caught up
	}
	h.write(list[3000:])
	h.reaches(s, 1, fold(list, 1)) // the old one goes on
	if got, fresh := h.read(s, 2); fresh.Version != 1 || !maps.Equal(got, fold(list, 1)) {
		t.Errorf("who knows the new version reads %v, %+v", got, fresh)
	}
	infos, err := s.List(t.Context())
	if err != nil || len(infos) != 2 || !infos[0].Served || infos[0].Version != 1 || infos[1].Served || infos[1].Version != 2 || infos[1].Behind == 0 {
		t.Errorf("%+v, %v; want version 1, and version 2 on its way", infos, err)
	}

	close(open)
	before, after := fold(list, 1), fold(list, 2)
	h.until("the new version is served", func() bool {
		got, fresh := h.read(s, 2)
		if want := map[int]map[string]int64{1: before, 2: after}[fresh.Version]; !maps.Equal(got, want) {
			t.Errorf("version %d is %v, want %v: it is neither the old nor the new view", fresh.Version, got, want)
		}
		return fresh.Version == 2
	})
	if err := h.end(old); !over(err) || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "version 1") {
		t.Errorf("the old program ends with %v", err)
	}
	if _, err := view.Read(t.Context(), s, &count{version: 1}); !over(err) {
		t.Errorf("the old program reads, and gets %v", err)
	}
	h.until("nothing of the old version is left", func() bool {
		return !slices.ContainsFunc(h.keys(), func(key string) bool { return strings.Contains(key, "count:1") })
	})
	if err := view.Keep(t.Context(), s, &count{version: 1}); !over(err) {
		t.Errorf("the old program begins again, and ends with %v", err)
	}
	if slices.ContainsFunc(h.keys(), func(key string) bool { return strings.Contains(key, "count:1") }) {
		t.Errorf("it left %q", h.keys())
	}
}

func TestAProgramOfAnOldVersionThatHasNothingToDoEndsToo(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 2)
		list := history(16, 50)
		h.write(list)
		s := h.store()
		old := h.keep(&count{version: 1})
		waits := h.keep(&count{version: 1})
		h.reaches(s, 1, fold(list, 1))
		h.keep(&count{version: 2})
		for _, k := range []kept{old, waits} {
			if err := h.end(k); !over(err) {
				t.Errorf("it ends with %v", err)
			}
		}
		h.reaches(s, 2, fold(list, 2))
	})
}

func TestAFoldThatPanicsEndsWithTheEntryAndStoresNothingOfIt(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	list := history(4, 3000)
	bad := list[2345].ID
	h.write(list)
	s := h.store()
	for range 2 { // and again at the next start
		k := h.keep(&count{version: 1, before: func(e events.Event) {
			if e.ID == bad {
				panic("no such thing")
			}
		}})
		err := h.end(k)
		e, ok := errors.AsType[*view.FoldError](err)
		if !ok || e.View.Name != "count" || e.Entry != bad || e.Panic != "no such thing" || !strings.Contains(err.Error(), bad.String()) {
			t.Fatalf("it ends with %v, want the entry %s", err, bad)
		}
	}
	infos, err := s.List(t.Context())
	if err != nil || len(infos) != 1 || infos[0].Checkpoints[0].Compare(bad) >= 0 {
		t.Errorf("%+v, %v: the checkpoint is not before the entry %s", infos, err, bad)
	}
	h.keep(&count{version: 1}) // one that can
	h.reaches(s, 1, fold(list, 1))
}

func TestEntriesThatAreNoEventsAreCountedAndStopNothing(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	list := history(5, 200)
	p := h.log.Partitions()[0]
	h.write(list[:100])
	for range 3 {
		if err := h.log.Conn().View.XAdd(t.Context(), &redis.XAddArgs{
			Stream: p.Events, ID: list[99].ID.Next().String(), Values: []any{"no", "event"},
		}).Err(); err != nil {
			t.Fatal(err)
		}
		list[99].ID = list[99].ID.Next()
	}
	h.keep(&count{version: 1})
	s := h.store()
	h.reaches(s, 1, fold(list[:100], 1))
	if _, fresh := h.read(s, 1); fresh.Skipped != 3 {
		t.Errorf("%+v, want 3 skipped", fresh)
	}
}

func TestAViewIsRemovedWithAllItHasUnlessAProgramKeepsIt(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 3)
	list := history(6, 500)
	h.write(list)
	s := h.store()
	k := h.keep(&count{version: 1})
	h.reaches(s, 1, fold(list, 1))
	if err := s.Remove(t.Context(), "count"); err == nil || !strings.Contains(err.Error(), "count:1") {
		t.Errorf("a view that is kept is removed: %v", err)
	} else if _, ok := errors.AsType[*view.KeptError](err); !ok {
		t.Errorf("%v, want a KeptError", err)
	}
	h.reaches(s, 1, fold(list, 1))
	k.stop()
	if err := s.Remove(t.Context(), "count"); err != nil {
		t.Error(err)
	}
	if keys := h.keys(); len(keys) != 0 {
		t.Errorf("it left %q", keys)
	}
	if err := s.Remove(t.Context(), "count"); !errors.Is(err, view.ErrNotFound) {
		t.Errorf("removed once more: %v", err)
	}
	h.keep(&count{version: 1}) // from the beginning
	h.reaches(s, 1, fold(list, 1))
}

func TestAViewThatIsLostOrBrokenIsMadeAgain(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	list := history(7, 1200)
	h.write(list[:1000])
	s, p, rdb := h.store(), h.log.Partitions()[0], h.log.Conn().View
	key := p.View("own:count:1")
	h.keep(&count{version: 1})
	h.reaches(s, 1, fold(list[:1000], 1))
	for i, harm := range [][]any{
		{"DEL", key + ":head"},
		{"DEL", key + ":head", key, p.View("own:count"), p.Readers},
		{"HSET", key + ":head", "checkpoint", "nowhere"},
		{"SET", key + ":head", "x"},
	} {
		if err := rdb.Do(t.Context(), harm...).Err(); err != nil {
			t.Fatal(err)
		}
		h.write(list[1000+i : 1001+i])
		h.reaches(s, 1, fold(list[:1001+i], 1))
		if at := rdb.HGet(t.Context(), p.Readers, "view:count:1").Val(); at != list[1000+i].ID.String() {
			t.Errorf("after %v it reads from %q", harm, at)
		}
	}
}

// named is a view with any name.
type named struct {
	count
	name string
}

func (n *named) Name() string { return n.name }
func (n *named) Merge(*named) {}

func TestNamesAndVersionsThatCannotBeAreRefused(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	s := h.store()
	for _, name := range []string{"", "Spend", "1st", "a:b", "a{b", "queues", "tasks", "workers", "throughput", "names", strings.Repeat("a", 65)} {
		v := &named{count: count{version: 1}, name: name}
		kept := view.Keep(t.Context(), s, v)
		_, read := view.Read(t.Context(), s, v)
		for _, err := range []error{kept, read, s.Remove(t.Context(), name)} {
			if _, ok := errors.AsType[*events.FieldError](err); !ok {
				t.Errorf("%q: %v, want a FieldError", name, err)
			}
		}
	}
	if _, ok := errors.AsType[*events.FieldError](view.Keep(t.Context(), s, &count{})); !ok {
		t.Error("version 0 is kept")
	}
	if keys := h.keys(); len(keys) != 0 {
		t.Errorf("it left %q", keys)
	}
}

func TestAVersionThatWillNotBeFinishedIsRemovedAlone(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 2)
	list := history(11, 500)
	h.write(list)
	s := h.store()
	h.keep(&count{version: 1})
	h.reaches(s, 1, fold(list, 1))
	next := h.keep(&count{version: 2, before: func(events.Event) { panic("it will not be finished") }})
	if _, ok := errors.AsType[*view.FoldError](h.end(next)); !ok {
		t.Error("it does not panic")
	}
	if _, ok := errors.AsType[*events.FieldError](s.RemoveVersion(t.Context(), "count", 1)); !ok {
		t.Error("the version that is served is removed")
	}
	if err := s.RemoveVersion(t.Context(), "count", 2); err != nil {
		t.Error(err)
	}
	if err := s.RemoveVersion(t.Context(), "count", 2); !errors.Is(err, view.ErrNotFound) {
		t.Errorf("removed once more: %v", err)
	}
	if keys := h.keys(); slices.ContainsFunc(keys, func(key string) bool { return strings.Contains(key, "count:2") }) {
		t.Errorf("it left %q", keys)
	}
	h.reaches(s, 1, fold(list, 1))
}

// other is a version 2 of the view count whose fields cannot be loaded from those of version 1.
type other struct {
	projections.Fields[struct{ N int }]
}

func (*other) Name() string       { return "count" }
func (*other) Version() int       { return 2 }
func (*other) Apply(events.Event) {}
func (*other) Merge(*other)       {}

func TestFieldsThatATypeCannotLoadAreAnErrorThatNamesTheirVersion(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	list := history(17, 50)
	h.write(list)
	s := h.store()
	h.keep(&count{version: 1})
	h.reaches(s, 1, fold(list, 1))
	if _, err := view.Read(t.Context(), s, new(other)); !errors.Is(err, view.ErrUnusable) || !strings.Contains(err.Error(), "count:1") {
		t.Errorf("%v, want an ErrUnusable that names count:1", err)
	}
}
