package projector_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/projector"
)

func TestAtIdleRedisIsLeftAlone(t *testing.T) {
	srv := testredis.Start(t)
	log := open(t, srv.URL(), 1)
	p := log.Partitions()[0]
	write(t, log, p, simulation.Make(simulation.Config{Seed: 9}).Events)
	run(t, log, quiet(), nil)
	caughtUp(t, log, p)
	before := testredis.AllCalls(t, srv.Client())
	const idle = 8 * time.Second // it is the time itself that is measured
	<-time.After(idle)
	n := testredis.AllCalls(t, srv.Client()) - before
	t.Logf("%d commands in %s", n, idle)
	if n > 2*int(idle/time.Second)+4 { // a turn of it may lie on the edge
		t.Errorf("%d commands in %s, want 2 a second at the most", n, idle)
	}
}

func TestAnEventIsInTheViewsAMomentLater(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	store := views.New(log)
	run(t, log, quiet(), nil)
	var took []time.Duration
	for i := range 20 {
		r, err := log.Request(t.Context(), eventlog.Request{
			Task: fmt.Sprintf("t%d", i), Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		eventually(t, "the event is in the views", func() bool {
			at, err := store.Checkpoint(context.Background(), p)
			return err == nil && at.Compare(r.Event) >= 0
		})
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("median %s, longest %s", took[10], took[19])
	if took[10] > 100*time.Millisecond {
		t.Errorf("half of the events take longer than %s to be in the views", took[10])
	}
}

func TestARestartOfRedisCostsNothing(t *testing.T) {
	srv := testredis.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	log := open(t, srv.URL(), 1)
	p := log.Partitions()[0]
	list := simulation.Make(simulation.Config{Seed: 10, Events: 3000}).Events
	run(t, log, quiet(), nil)
	write(t, log, p, list[:1000])
	caughtUp(t, log, p)
	write(t, log, p, list[1000:2000]) // while these are folded
	srv.Kill()
	srv.Restart(t)
	write(t, log, p, list[2000:])
	caughtUp(t, log, p)
	asMadeAgain(t, log, p)
}

func TestBrokenConnectionsCostNothing(t *testing.T) {
	srv := testredis.Start(t)
	log := open(t, srv.URL(), 1)
	p := log.Partitions()[0]
	h := simulation.Make(simulation.Config{Seed: 12, Events: 40_000})
	write(t, log, p, h.Events)
	stop := run(t, log, quiet(), nil)
	store := views.New(log)
	list := h.Events
	last, broken := events.ID{}, 0
	breakAll := func() {
		if err := srv.Client().Do(t.Context(), "CLIENT", "KILL", "TYPE", "normal").Err(); err != nil { // ours stays
			t.Error(err)
		}
		broken++
	}
	for last.Compare(list[len(list)-1].ID) < 0 { // the save that comes next may or may not be heard of
		eventually(t, "the views move", func() bool {
			at, err := store.Checkpoint(t.Context(), p)
			if err != nil || at.Compare(last) <= 0 {
				return false
			}
			last = at
			return true
		})
		breakAll()
	}
	if broken < 3 {
		t.Fatalf("broken %d times only: the log is too short", broken)
	}
	caughtUp(t, log, p)
	stop()
	got := dump(t, log, p)
	broken = 0
	if _, err := projector.Rebuild(t.Context(), log, projector.Options{Progress: func(int64, int64) { breakAll() }}); err != nil {
		t.Fatal(err)
	}
	if broken < 3 {
		t.Fatalf("broken %d times only during the rebuild: the log is too short", broken)
	}
	if want := dump(t, log, p); got != want {
		t.Error(differ(got, want))
	}
}

func TestRebuildsAtOnceAndBesideProjectorsEndInTheSameViews(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 2)
		for i, p := range log.Partitions() {
			write(t, log, p, simulation.Make(simulation.Config{Seed: uint64(13 + i), Events: 2000}).Events)
		}
		run(t, log, quiet(), nil)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := projector.Rebuild(t.Context(), log, projector.Options{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, p := range log.Partitions() {
			caughtUp(t, log, p)
			asMadeAgain(t, log, p)
		}
	})
}

func TestFlushedViewsAndLogBeginAgain(t *testing.T) {
	srv := testredis.Start(t)
	log := open(t, srv.URL(), 1)
	p := log.Partitions()[0]
	list := simulation.Make(simulation.Config{Seed: 11}).Events
	run(t, log, quiet(), nil)
	write(t, log, p, list[:600])
	caughtUp(t, log, p)
	if err := srv.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	write(t, log, p, list[600:])
	caughtUp(t, log, p)
	_, fresh, err := views.New(log).Queues(t.Context())
	if err != nil || fresh.Partitions[0].Read != 400 {
		t.Errorf("%+v, %v; want the views of 400 entries", fresh, err)
	}
}

func TestABadConfigIsRefused(t *testing.T) {
	log := open(t, testredis.Embedded(t), 1)
	if _, err := projector.New(log, projector.Config{Pace: -1}, quiet(), nil); err != nil {
		t.Errorf("no pace at all: %v", err)
	}
	for _, cfg := range []projector.Config{{Pace: time.Minute}, {LeaseTTL: time.Second}, {SnapshotEvery: -1}, {SnapshotAge: -1}, {SnapshotRatio: -1}} {
		if _, err := projector.New(log, cfg, quiet(), nil); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
