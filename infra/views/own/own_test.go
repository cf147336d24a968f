package own_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/infra/views/own"
	"github.com/tasklog/tasklog/projections"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	keeper = "me"
	ttl    = 5 * time.Second
)

// list is a view that keeps the last event of each task, and forgets cancelled ones.
type list struct {
	projections.Fields[string]
	version int
}

func (l *list) Name() string { return "list" }
func (l *list) Version() int { return l.version }
func (l *list) Apply(e events.Event) {
	if e.Data.Type() == events.TypeTaskCancelled {
		l.Delete(e.Task)
		return
	}
	*l.Touch(e.Task) = fmt.Sprint(l.version, e.Data.Type(), e.ID)
}

// values are the fields of a view.
func (l *list) values() map[string]string {
	values := map[string]string{}
	for field, v := range l.All() {
		values[field] = *v
	}
	return values
}

func kept(version int) own.Kept { return own.Kept{Name: "list", Version: version} }

// house is a log and its own views.
type house struct {
	*testing.T
	log   *eventlog.Log
	store *own.Store
}

func build(t *testing.T, url string) *house {
	t.Helper()
	log := testredis.Open(t, url, 1)
	return &house{T: t, log: log, store: own.New(log)}
}

func (h *house) request(task string) {
	h.Helper()
	_, err := h.log.Request(h.Context(), eventlog.Request{
		Task: task, Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
	})
	if err != nil {
		h.Fatal(err)
	}
}

// follow does what a keeper does with the next n entries of the log.
func (h *house) follow(version, n int) error {
	p := h.log.Partitions()[0]
	if _, err := h.store.Lease(h.Context(), p, kept(version), keeper, ttl); err != nil {
		return err
	}
	f, err := h.store.Load(h.Context(), p, kept(version), &list{version: version})
	if errors.Is(err, own.ErrUnusable) {
		f, err = h.store.Begin(h.Context(), p, kept(version), keeper, ttl, &list{version: version})
	}
	if err != nil {
		return err
	}
	entries, err := h.log.Range(h.Context(), p, f.Checkpoint, events.MaxID, n)
	if err != nil {
		return err
	}
	if _, err := f.Add(entries); err != nil {
		return err
	}
	return h.store.Save(h.Context(), f, keeper, ttl)
}

// stored is a version as it is stored, and up to where it has read.
func (h *house) stored(version int) (map[string]string, own.Head) {
	h.Helper()
	v := &list{version: version}
	f, err := h.store.Load(h.Context(), h.log.Partitions()[0], kept(version), v)
	if err != nil {
		h.Fatal(err)
	}
	f.Generation = 0 // a beginning whose reply was lost is done again
	return v.values(), f.Head
}

// insist asks again until there is an answer, as keepers do.
func (h *house) insist(f func() error) {
	h.Helper()
	var err error
	for range 10 {
		if err = f(); err == nil {
			return
		}
		if !eventlog.Unavailable(err) {
			break
		}
	}
	h.Fatal(err)
}

func TestAViewCountsEachEntryOnceWhateverTheNetworkLosesAndRedisAnswers(t *testing.T) {
	server := testredis.Start(t)
	direct := build(t, server.URL())
	proxy := faults.Start(t, server.Addr())
	behind := build(t, proxy.URL())
	p := direct.log.Partitions()[0]
	for _, task := range []string{"a", "b", "c", "d", "e"} {
		direct.request(task)
	}
	if _, err := direct.log.Cancel(t.Context(), "b", "test", ""); err != nil {
		t.Fatal(err)
	}
	if err := direct.follow(1, 100); err != nil {
		t.Fatal(err)
	}
	want, head := direct.stored(1)
	if _, there := want["b"]; len(want) != 4 || there || head.Read != 6 {
		t.Fatalf("%v, %+v", want, head)
	}
	// One life of a view: version 1, then version 2 instead of it, and then nothing.
	live := func(f faults.Fault, what string) {
		t.Helper()
		proxy.Set(f)
		before := proxy.Hits()
		for range 3 {
			behind.insist(func() error { return behind.follow(1, 2) })
		}
		if got, at := direct.stored(1); !maps.Equal(got, want) || at != head {
			t.Errorf("%s of %s: the view is %v, %+v; want %v, %+v", f, what, got, at, want, head)
		}
		behind.insist(func() error { return behind.follow(2, 100) })
		behind.insist(func() error { _, err := behind.store.Swap(t.Context(), kept(2)); return err })
		behind.insist(func() error { return behind.store.Sweep(t.Context(), kept(2)) })
		if readers := server.Client().HGetAll(t.Context(), p.Readers).Val(); !reflect.DeepEqual(readers, map[string]string{"view:list:2": head.Checkpoint.String()}) {
			t.Errorf("%s of %s: the readers are %v", f, what, readers)
		}
		behind.insist(func() error {
			_, err := behind.store.Lease(t.Context(), p, kept(2), keeper, 0)
			return err
		})
		behind.insist(func() error {
			err := behind.store.Remove(t.Context(), "list")
			if errors.Is(err, own.ErrNotFound) {
				return nil // it was removed, and the reply lost
			}
			return err
		})
		if f.Kind != faults.None && proxy.Set(faults.Fault{}) == before {
			t.Errorf("%s of %s did not happen", f, what)
		}
		if keys := server.Client().Keys(t.Context(), p.View("*")).Val(); len(keys) != 0 || server.Client().Exists(t.Context(), p.Readers).Val() != 0 {
			t.Fatalf("%s of %s: it left %q", f, what, keys)
		}
	}
	if _, err := direct.store.Lease(t.Context(), p, kept(1), keeper, 0); err != nil {
		t.Fatal(err)
	}
	if err := direct.store.Remove(t.Context(), "list"); err != nil {
		t.Fatal(err)
	}
	if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	live(faults.Fault{}, "nothing")
	called := proxy.Called()
	paths, err := filepath.Glob("*.lua")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%q, %v", paths, err)
	}
	for _, name := range append(paths, "lease.lua") {
		if _, ok := called[name]; !ok {
			t.Errorf("%s is not called here: its repeats are not tested", name)
		}
		for _, times := range []int{1, 3} {
			for _, f := range faults.Every(times) {
				if strings.HasPrefix(f.Error, "NOSCRIPT") && times > 1 {
					continue // the source follows it
				}
				named := f.Only
				f.Only = func(c faults.Command) bool { return c.Script == name && (named == nil || named(c)) }
				live(f, name)
			}
		}
	}
}

func TestWhoWasOvertakenStoresNothing(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url)
		p := h.log.Partitions()[0]
		h.request("a")
		if err := h.follow(1, 1); err != nil {
			t.Fatal(err)
		}
		load := func() *own.Fold {
			t.Helper()
			f, err := h.store.Load(t.Context(), p, kept(1), &list{version: 1})
			if err != nil {
				t.Fatal(err)
			}
			entries, err := h.log.Range(t.Context(), p, f.Checkpoint, events.MaxID, 100)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Add(entries); err != nil {
				t.Fatal(err)
			}
			return f
		}
		h.request("b")
		slow := load()
		h.request("c")
		if err := h.follow(1, 100); err != nil {
			t.Fatal(err)
		}
		want, head := h.stored(1)
		if err := h.store.Save(t.Context(), slow, "other", ttl); !errors.Is(err, own.ErrMoved) {
			t.Errorf("it stores while another has the lease: %v", err)
		}
		if err := h.store.Save(t.Context(), load(), keeper, ttl); err != nil {
			t.Errorf("the same again: %v", err)
		}
		slow = load()
		slow.Checkpoint = slow.Checkpoint.Next()
		if _, err := h.store.Begin(t.Context(), p, kept(1), keeper, ttl, &list{version: 1}); err != nil {
			t.Fatal(err)
		}
		if err := h.store.Save(t.Context(), slow, keeper, ttl); !errors.Is(err, own.ErrMoved) {
			t.Errorf("it stores into a new beginning: %v", err)
		}
		if _, err := h.store.Begin(t.Context(), p, kept(1), "other", ttl, &list{version: 1}); !errors.Is(err, own.ErrMoved) {
			t.Errorf("who has no lease begins: %v", err)
		}
		if err := h.follow(1, 100); err != nil {
			t.Fatal(err)
		}
		if got, at := h.stored(1); !maps.Equal(got, want) || at != head {
			t.Errorf("%v, %+v; want %v, %+v", got, at, want, head)
		}
	})
}

func TestAVersionThatIsOverCannotBeStoredOrBegun(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url)
		p := h.log.Partitions()[0]
		h.request("a")
		if served, err := h.store.Claim(t.Context(), kept(1)); served != 1 || err != nil {
			t.Fatal(served, err)
		}
		if err := h.follow(1, 100); err != nil {
			t.Fatal(err)
		}
		old, err := h.store.Load(t.Context(), p, kept(1), &list{version: 1})
		if err != nil {
			t.Fatal(err)
		}
		if ready, err := h.store.CaughtUp(t.Context(), kept(2)); ready || err != nil {
			t.Errorf("what was not begun has caught up: %v", err)
		}
		if err := h.follow(2, 100); err != nil {
			t.Fatal(err)
		}
		if ready, err := h.store.CaughtUp(t.Context(), kept(2)); !ready || err != nil {
			t.Errorf("it has not caught up: %v", err)
		}
		for _, want := range []bool{true, false} {
			if swapped, err := h.store.Swap(t.Context(), kept(2)); swapped != want || err != nil {
				t.Errorf("swapped: %t, %v; want %t", swapped, err, want)
			}
		}
		if swapped, err := h.store.Swap(t.Context(), kept(1)); swapped || err != nil {
			t.Errorf("it goes back: %v", err)
		}
		over := func(err error) bool {
			e, ok := errors.AsType[*own.VersionError](err)
			return ok && *e == own.VersionError{View: "list", Served: 2, Own: 1}
		}
		old.Checkpoint = old.Checkpoint.Next()
		if err := h.store.Save(t.Context(), old, keeper, ttl); !over(err) {
			t.Errorf("version 1 is stored: %v", err)
		}
		if err := h.store.Sweep(t.Context(), kept(2)); err != nil {
			t.Fatal(err)
		}
		if _, err := h.store.Begin(t.Context(), p, kept(1), keeper, ttl, &list{version: 1}); !over(err) {
			t.Errorf("version 1 is begun: %v", err)
		}
		if keys, err := h.store.List(t.Context()); err != nil || !reflect.DeepEqual(keys, []own.Kept{kept(2)}) {
			t.Errorf("%v, %v", keys, err)
		}
		if got, _ := h.stored(2); len(got) != 1 {
			t.Errorf("%v", got)
		}
	})
}

// large is a view with large fields.
type large struct{ projections.Fields[string] }

func (*large) Name() string { return "large" }
func (*large) Version() int { return 1 }
func (l *large) Apply(e events.Event) {
	for i := range 10 {
		*l.Touch(fmt.Sprint(e.Task, i)) = strings.Repeat("x", 1000)
	}
}

func TestASaveIsBoundedByWhatChanged(t *testing.T) {
	h := build(t, testredis.Start(t).URL())
	p := h.log.Partitions()[0]
	for i := range 300 {
		h.request(fmt.Sprint("t", i))
	}
	k := own.Kept{Name: "large", Version: 1}
	f, err := h.store.Begin(t.Context(), p, k, keeper, ttl, new(large))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := h.log.Range(t.Context(), p, events.ID{}, events.MaxID, 1000)
	if err != nil || len(entries) != 300 {
		t.Fatal(len(entries), err)
	}
	if n, err := f.Add(entries); n != 100 || err != nil {
		t.Errorf("%d entries with ten fields each were folded at once, want 100, %v", n, err)
	}
	if n, err := f.Add(entries[100:]); n != 0 || err != nil {
		t.Errorf("%d more were folded, want none before they are stored, %v", n, err)
	}
	if err := h.store.Save(t.Context(), f, keeper, ttl); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Add(entries[100:]); n != 100 || err != nil {
		t.Errorf("then %d more, %v", n, err)
	}
	if gap, err := views.Gap(t.Context(), h.log, p, f.Checkpoint, f.Read+f.Missed); gap != 0 || err != nil {
		t.Errorf("%d entries are missing, %v", gap, err)
	}
}

// unstorable is a view whose value is no JSON.
type unstorable struct{ projections.Fields[func()] }

func (*unstorable) Name() string           { return "unstorable" }
func (*unstorable) Version() int           { return 1 }
func (u *unstorable) Apply(e events.Event) { u.Touch(e.Task) }

func TestAValueThatIsNoJSONIsAnErrorAndNotAFieldThatIsGone(t *testing.T) {
	h := build(t, testredis.Start(t).URL())
	p := h.log.Partitions()[0]
	h.request("a")
	f, err := h.store.Begin(t.Context(), p, own.Kept{Name: "unstorable", Version: 1}, keeper, ttl, new(unstorable))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := h.log.Range(t.Context(), p, events.ID{}, events.MaxID, 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add(entries); err != nil {
		t.Fatal(err)
	}
	err = h.store.Save(t.Context(), f, keeper, ttl)
	if e, ok := errors.AsType[*own.FoldError](err); !ok || e.Entry != entries[0].ID || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("%v, want a FoldError that names field a", err)
	}
}
