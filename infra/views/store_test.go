package views_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/throughput"
)

func TestOfTwoProjectorsAtOneCheckpointOneStores(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		for i := range 10 {
			h.request(fmt.Sprintf("t%d", i), "q", "n", 0)
		}
		a := h.load(p)
		b := h.load(p)
		late := h.load(p)
		h.read(a, p, 4)
		h.read(b, p, 7)
		h.read(late, p, 4)
		if err := h.store.Save(t.Context(), a, owner, ttl); err != nil {
			t.Fatal(err)
		}
		if err := h.store.Save(t.Context(), b, owner, ttl); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want ErrMoved", err)
		}
		if err := h.store.Save(t.Context(), late, owner, ttl); err != nil {
			t.Errorf("what is stored already is refused: %v", err)
		}
		if err := h.store.Release(t.Context(), p, owner); err != nil {
			t.Fatal(err)
		}
		if left, err := h.store.Lease(t.Context(), p, "another", ttl); err != nil || left != 0 {
			t.Fatalf("%s, %v; want the lease", left, err)
		}
		h.read(a, p, 100)
		if err := h.store.Save(t.Context(), a, owner, ttl); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want ErrMoved while another holds the lease", err)
		}
		if _, err := h.store.Reset(t.Context(), p, owner, ttl); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want ErrMoved while another holds the lease", err)
		}
		q, _, err := h.store.Queues(t.Context())
		if err != nil || q.Queue("q").Counts[events.StateWaiting] != 4 {
			t.Errorf("%+v, %v; want what the first stored", q, err)
		}
	})
}

func TestAnOldGenerationCannotBeStored(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		h.request("a", "q", "n", 0)
		old := h.load(p)
		h.read(old, p, 100)
		if err := h.store.Seize(t.Context(), p, "rebuild", ttl); err != nil {
			t.Fatal(err)
		}
		fresh, err := h.store.Reset(t.Context(), p, "rebuild", ttl)
		if err != nil || fresh.Generation <= old.Generation {
			t.Fatalf("generation %d after %d, %v", fresh.Generation, old.Generation, err)
		}
		if err := h.store.Release(t.Context(), p, "rebuild"); err != nil {
			t.Fatal(err)
		}
		if err := h.store.Save(t.Context(), old, owner, ttl); !errors.Is(err, views.ErrMoved) {
			t.Errorf("%v, want ErrMoved", err)
		}
		if at, err := h.store.Checkpoint(t.Context(), p); err != nil || !at.IsZero() {
			t.Errorf("checkpoint %s, %v; want none", at, err)
		}
	})
}

func TestOneProjectorHoldsTheLease(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		lease := func(who string, ttl time.Duration) time.Duration {
			t.Helper()
			left, err := h.store.Lease(t.Context(), p, who, ttl)
			if err != nil {
				t.Fatal(err)
			}
			return left
		}
		for _, what := range []string{"take", "extend"} {
			if lease("a", ttl) != 0 {
				t.Errorf("a cannot %s a free lease", what)
			}
		}
		if left := lease("b", ttl); left <= 0 || left > ttl {
			t.Errorf("b is told to wait %s, want up to %s", left, ttl)
		}
		if err := h.store.Release(t.Context(), p, "b"); err != nil {
			t.Fatal(err)
		}
		if lease("b", ttl) == 0 {
			t.Error("b gave back what a holds")
		}
		if err := h.store.Release(t.Context(), p, "a"); err != nil {
			t.Fatal(err)
		}
		if lease("b", ttl) != 0 {
			t.Error("b cannot take what a gave back")
		}
	})
}

func TestLagTellsHowFarTheViewsAreBehind(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		lag := func() views.Lag {
			t.Helper()
			l, err := h.store.Lag(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return l[0]
		}
		if l := lag(); l != (views.Lag{}) {
			t.Errorf("%+v of an empty log", l)
		}
		for i := range 10 {
			h.request(fmt.Sprintf("t%d", i), "q", "n", 0)
		}
		if l := lag(); l.Entries != 10 || l.Behind > time.Minute {
			t.Errorf("%+v, want 10 entries, and less than a minute", l)
		}
		f := h.load(p)
		h.read(f, p, 4)
		if err := h.store.Save(t.Context(), f, owner, ttl); err != nil {
			t.Fatal(err)
		}
		if l := lag(); l.Entries != 6 {
			t.Errorf("%+v, want 6 entries", l)
		}
		h.project()
		if l := lag(); l != (views.Lag{}) {
			t.Errorf("%+v, want none", l)
		}
	})
}

func TestLagIsExactWhenTheLogWasTrimmed(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 1)
	p := h.log.Partitions()[0]
	for i := range 10 {
		h.request(fmt.Sprintf("t%d", i), "q", "n", 0)
	}
	h.project()
	at, err := h.store.Checkpoint(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		h.request(fmt.Sprintf("u%d", i), "q", "n", 0)
	}
	if held, err := h.log.Trim(t.Context(), p, at); held != nil || err != nil {
		t.Fatalf("%+v, %v", held, err)
	}
	if l, err := h.store.Lag(t.Context()); err != nil || l[0].Entries != 3 {
		t.Errorf("%+v, %v; want 3 entries", l, err)
	}
}

func TestPartitionsAreMerged(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 4)
	if q, fresh, err := h.store.Queues(t.Context()); err != nil || q.Len() != 0 || !fresh.Newest.IsZero() {
		t.Errorf("%+v, %+v, %v; want nothing before there are views", q, fresh, err)
	}
	for i := range 40 {
		h.request(fmt.Sprintf("t%d", i), fmt.Sprintf("q%d", i%2), "n", 0)
	}
	if _, err := h.log.Pause(t.Context(), "q1", "test"); err != nil {
		t.Fatal(err)
	}
	h.project()
	q, fresh, err := h.store.Queues(t.Context())
	if err != nil || len(fresh.Partitions) != 4 || fresh.Newest.IsZero() {
		t.Fatalf("%+v, %v; want 4 partitions", fresh, err)
	}
	for name, paused := range map[string]bool{"q0": false, "q1": true} {
		if c := q.Queue(name); c.Counts[events.StateWaiting] != 20 || c.Totals.Requested != 20 || c.Paused != paused {
			t.Errorf("%s: %+v, want 20 waiting, paused %v", name, c, paused)
		}
	}
	for queue, want := range map[string]int64{"": 40, "q0": 20, "q2": 0} {
		for _, window := range []time.Duration{15 * time.Minute, throughput.MaxWindow} {
			s, _, err := h.store.Series(t.Context(), queue, window)
			if err != nil || s.Total().Requested != want {
				t.Errorf("%q in %s: %+v, %v; want %d requested", queue, window, s.Total(), err, want)
			}
		}
	}
	for queue, want := range map[string]int64{"q0": 20, "none": 0} {
		list, since, _, err := h.store.Names(t.Context(), queue)
		if err != nil || since.IsZero() || len(list) != int(min(want, 1)) || want > 0 && (list[0].Name != "n" || list[0].Requested != want) {
			t.Errorf("%q: names %+v, %v; want %d requested", queue, list, err, want)
		}
	}
	if w, _, err := h.store.Workers(t.Context()); err != nil || w.Len() != 0 {
		t.Errorf("%+v, %v; want no workers", w, err)
	}
}

func TestEveryKeyOfAPartitionHasItsSlot(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 2)
	for i := range 20 {
		h.request(fmt.Sprintf("t%d", i), "q", "n", 0)
	}
	h.project()
	found := 0
	for _, key := range h.log.Conn().View.Keys(t.Context(), "*").Val() {
		if strings.Contains(key, ":view:") {
			found++
			if !strings.HasPrefix(key, "tasklog:{0}:view:") && !strings.HasPrefix(key, "tasklog:{1}:view:") {
				t.Errorf("%s is in no slot of ours", key)
			}
		}
	}
	if found == 0 {
		t.Error("no views are stored")
	}
}

func TestSweepLeavesEverythingButOldGenerations(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 2)
		p, other := h.log.Partitions()[0], h.log.Partitions()[1]
		rdb := h.log.Conn().View
		for i := range 20 {
			h.request(fmt.Sprintf("t%d", i), "q", "n", 0)
		}
		h.project()
		before := rdb.DBSize(t.Context()).Val()
		old := h.load(p)
		f, err := h.store.Reset(t.Context(), p, owner, ttl)
		if err != nil || f.Swept() {
			t.Fatalf("%v, swept %v", err, f.Swept())
		}
		h.project()
		for range 2 { // a sweep that was not heard of is repeated
			if err := h.store.Sweep(t.Context(), p, f.Generation); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.store.Sweep(t.Context(), p, old.Generation); err != nil { // one that is late
			t.Fatal(err)
		}
		if after := rdb.DBSize(t.Context()).Val(); after != before {
			t.Errorf("%d keys, want %d: %v", after, before, rdb.Keys(t.Context(), "*view:tasks:*").Val())
		}
		if h.load(other).Swept() {
			t.Error("the other partition is not told that it was swept")
		}
	})
}
