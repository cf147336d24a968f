package scheduler_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/network"
	"github.com/tasklog/tasklog/services/scheduler"
)

// A sharer is a scheduler that shares its partitions with others.
type sharer struct {
	reg  *prometheus.Registry
	stop func()
}

func startSharer(t *testing.T, url string) sharer {
	t.Helper()
	log := testredis.Open(t, url, 0)
	reg := prometheus.NewRegistry()
	s, err := scheduler.New(log, scheduler.Config{}, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return sharer{reg, stop}
}

// leads is how many partitions it works on.
func (s sharer) leads(t *testing.T) (n int) {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tasklog_scheduler_leads" {
			for _, m := range f.GetMetric() {
				n += int(m.GetGauge().GetValue())
			}
		}
	}
	return n
}

// share waits until each of some schedulers works on so many partitions, and returns how long that took.
func share(t *testing.T, among []sharer, want ...int) time.Duration {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for late := time.After(30 * time.Second); ; {
		var have []int
		for _, s := range among {
			have = append(have, s.leads(t))
		}
		if slices.Equal(have, want) {
			return time.Since(began)
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("they work on %v partitions, want %v", have, want)
		}
	}
}

// A stream of delayed tasks goes on while schedulers come, leave and fall silent. None is due twice or early, and
// none later than it takes until another scheduler has the partition.
func TestSchedulersShareThePartitionsAndNoTaskIsDueTwiceOrLate(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	const partitions = 6
	log := testredis.Open(t, srv.URL(), partitions)
	w := eventlog.Presence{Worker: "w", Concurrency: 100_000}
	if err := log.Announce(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	ctx, enough := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asked := 0
	asking.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; asked++ {
			r := eventlog.Request{Task: fmt.Sprint("t", asked), Label: events.Label{Queue: "q", Name: "n"}, Delay: 50 * time.Millisecond, Definition: events.Definition{MaxAttempts: 1}}
			if _, err := log.Request(context.WithoutCancel(ctx), r); err != nil {
				t.Error(err)
				return
			}
			if asked%500 == 0 { // it stays there
				if err := log.Announce(context.WithoutCancel(ctx), w); err != nil {
					t.Error(err)
				}
			}
			<-tick.C
		}
	})

	first := startSharer(t, srv.URL())
	share(t, []sharer{first}, 6)
	between := network.Start(t, srv.Addr())
	second := startSharer(t, between.URL())
	share(t, []sharer{first, second}, 3, 3)
	third := startSharer(t, srv.URL())
	share(t, []sharer{first, second, third}, 2, 2, 2)

	third.stop()
	if took := share(t, []sharer{first, second, third}, 3, 3, 0); took > 4*time.Second {
		t.Errorf("after one left in good order, its partitions were taken over in %s", took)
	}
	between.Swallow(network.Requests, network.Replies)
	if took := share(t, []sharer{first}, 6); took > 10*time.Second {
		t.Errorf("after one fell silent, its partitions were taken over in %s, want its lease and a moment", took)
	}
	between.Heal()
	share(t, []sharer{first, second}, 3, 3)
	enough()
	asking.Wait()

	due := map[string]int{}
	var latest int64
	for _, p := range log.Partitions() {
		var pos events.ID
		for requested, n := 0, 0; n < requested || n == 0; {
			entries, err := log.Follow(t.Context(), p, pos, 1000, 3*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if len(entries) == 0 {
				t.Fatalf("partition %d: %d of %d tasks became due", p.N, n, requested)
			}
			for _, e := range entries {
				pos = e.ID
				if e.Err != nil {
					t.Fatal(e.Err)
				}
				if e.Data.Type() == events.TypeTaskRequested {
					requested++
				}
				d, ok := e.Data.(events.TaskDue)
				if !ok {
					continue
				}
				n++
				due[e.Task]++
				late := e.ID.Ms - d.DueAt
				if late < 0 {
					t.Errorf("task %s is due %d ms early", e.Task, -late)
				}
				latest = max(latest, late)
			}
		}
	}
	for task, n := range due {
		if n != 1 {
			t.Errorf("task %s is due %d times", task, n)
		}
	}
	if len(due) != asked {
		t.Errorf("%d tasks are due, want %d", len(due), asked)
	}
	t.Logf("%d tasks, the latest %d ms late", asked, latest)
	if latest > 10_000 {
		t.Errorf("a task is %d ms late, want a lease and a moment at the most", latest)
	}
}
