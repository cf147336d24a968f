package views_test

import (
	"errors"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/throughput"
)

// insist asks again until there is an answer, as services do. It fails the test when Redis refuses for
// good.
func insist(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for range 10 {
		if err = f(); err == nil {
			return
		}
		if !eventlog.Unavailable(err) {
			break
		}
	}
	t.Fatal(err)
}

// projectSome does what a projector does with the next n entries of a partition: after any error it loads
// the views again and goes on from there.
func (h *house) projectSome(p eventlog.Partition, n int) {
	h.Helper()
	insist(h.T, func() error {
		if _, err := h.store.Lease(h.Context(), p, owner, ttl); err != nil {
			return err
		}
		f, err := h.store.Load(h.Context(), p)
		if errors.Is(err, views.ErrUnusable) {
			f, err = h.store.Reset(h.Context(), p, owner, ttl)
		}
		if err != nil {
			return err
		}
		entries, err := h.log.Range(h.Context(), p, f.Checkpoint, events.MaxID, n)
		if err != nil {
			return err
		}
		for _, e := range entries {
			f.Add(e)
		}
		return h.store.Save(h.Context(), f, owner, ttl)
	})
}

// replay does what a replay does: it makes views of the entries up to those of the stored ones, in pieces of n, and
// swaps them in. What Redis left unanswered is asked again.
func (h *house) replay(p eventlog.Partition, n int) {
	h.Helper()
	var s *views.Shadow
	insist(h.T, func() (err error) {
		s, err = h.store.Shadow(h.Context(), p)
		return err
	})
	insist(h.T, func() error { return h.store.Seize(h.Context(), p, owner, ttl) })
	var target events.ID
	insist(h.T, func() (err error) {
		target, err = h.store.Target(h.Context(), p)
		return err
	})
	for s.Checkpoint != target {
		insist(h.T, func() error {
			entries, err := h.log.Range(h.Context(), p, s.Checkpoint, target, n)
			for _, e := range entries {
				s.Add(e)
			}
			return err
		})
		insist(h.T, func() error { return s.Write(h.Context()) })
	}
	insist(h.T, func() error {
		_, err := s.Old(h.Context())
		return err
	})
	insist(h.T, func() error { return s.Swap(h.Context(), "") })
	insist(h.T, func() error { return h.store.Sweep(h.Context(), p, s.Generation) })
}

// shown is all that the views tell, but for the generation: a reset whose reply was lost is done again.
func (h *house) shown(p eventlog.Partition) (all []any) {
	h.Helper()
	q, fresh, err := h.store.Queues(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	tp, _, err := h.store.Series(h.Context(), "", throughput.MaxWindow)
	if err != nil {
		h.Fatal(err)
	}
	w, _, err := h.store.Workers(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	head := fresh.Partitions[0]
	length, err := h.log.Len(h.Context(), p)
	if err != nil {
		h.Fatal(err)
	}
	var listed []string
	for _, queue := range []string{"q", "other"} { // of a queue, the index alone tells
		var page views.Page
		insist(h.T, func() (err error) {
			page, err = h.store.Tasks(h.Context(), views.Filter{Queue: queue})
			return err
		})
		for _, t := range page.Tasks {
			listed = append(listed, t.ID+" "+string(t.State))
		}
	}
	if head.Read != length {
		h.Errorf("%d entries were counted, and the log has %d", head.Read, length)
	}
	return []any{q, tp, w, head.Checkpoint, head.Read, listed}
}

func TestAViewCountsEachEventOnceWhateverTheNetworkLosesAndRedisAnswers(t *testing.T) {
	server := testredis.Start(t)
	direct := build(t, server.URL(), 1)
	proxy := faults.Start(t, server.Addr())
	behind := build(t, proxy.URL(), 1)
	p := direct.log.Partitions()[0]
	for _, task := range []string{"a", "b", "c", "d"} {
		direct.request(task, "q", "n", 0)
	}
	direct.complete(p, "q")
	direct.request("e", "other", "n", ttl)
	direct.cancel("e")
	direct.project()
	want := direct.shown(p)
	forget := func() {
		keys := server.Client().Keys(t.Context(), p.View("*")).Val()
		if len(keys) < 5 || server.Client().Del(t.Context(), keys...).Val() != int64(len(keys)) {
			t.Fatalf("there are only the views %q", keys)
		}
	}
	follow := func(f faults.Fault, what string) {
		t.Helper()
		forget()
		proxy.Set(f)
		before := proxy.Hits()
		for range 2 { // pages of 5 entries
			behind.projectSome(p, 5)
		}
		behind.replay(p, 5)
		for range 2 {
			behind.projectSome(p, 5)
		}
		got := behind.shown(p)
		if f.Kind != faults.None && proxy.Set(faults.Fault{}) == before {
			t.Errorf("%s of %s did not happen", f, what)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s of %s: the views say\n%+v, want\n%+v", f, what, got, want)
		}
	}
	if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	follow(faults.Fault{}, "nothing")
	called := proxy.Called()
	paths, err := filepath.Glob("*.lua")
	if err != nil || len(paths) < 4 {
		t.Fatalf("%q, %v", paths, err)
	}
	for _, name := range paths {
		if _, ok := called[name]; !ok {
			t.Errorf("%s is not called here: its repeats are not tested", name)
		}
		for _, times := range []int{1, 3} {
			for _, f := range faults.Every(times) {
				named := f.Only
				f.Only = func(c faults.Command) bool { return c.Script == name && (named == nil || named(c)) }
				follow(f, name)
			}
		}
	}
}
