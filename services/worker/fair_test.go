package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

func TestAWorkerTakesFromAllPartitionsInTurn(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 3, 8} { // fewer slots than partitions, and more
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			t.Parallel()
			const partitions, backlog = 4, 60
			log := testredis.Open(t, testredis.Start(t).URL(), partitions)
			s, err := scheduler.New(log, scheduler.Config{}, quiet(), nil)
			if err != nil {
				t.Fatal(err)
			}
			start(t, s.Run)
			h := &house{T: t, log: log, part: log.Partitions()[0]}
			// All partitions but the last have a backlog, and that one a single task.
			asked := make([]int, partitions)
			for i := 0; slices.Max(asked[:partitions-1]) < backlog || asked[partitions-1] < 1; i++ {
				id := fmt.Sprint("t", i)
				if p := log.Of(id).N; p < partitions-1 || asked[p] == 0 {
					asked[p]++
					h.request(eventlog.Request{Task: id})
				}
			}
			if err := log.Announce(t.Context(), eventlog.Presence{Worker: "w", Concurrency: concurrency}); err != nil {
				t.Fatal(err)
			}
			for _, p := range log.Partitions() {
				h.until("something is due in each partition", func() bool {
					return log.Conn().View.XLen(t.Context(), p.Due("default")).Val() > 0
				})
			}

			var mu sync.Mutex
			var order []int // the partitions of the tasks, as they began
			w := h.worker(worker.Config{ID: "w", Concurrency: concurrency})
			w.HandleAny(func(_ context.Context, task worker.Task[json.RawMessage]) (any, error) {
				mu.Lock()
				order = append(order, log.Of(task.ID).N)
				mu.Unlock()
				<-time.After(2 * time.Millisecond) // it is the work itself
				return nil, nil
			})
			start(t, w.Run)
			first := concurrency + 4*partitions
			h.until("a good part of the tasks began", func() bool {
				mu.Lock()
				defer mu.Unlock()
				return len(order) >= first
			})
			mu.Lock()
			defer mu.Unlock()
			began := make([]int, partitions)
			for _, p := range order[:first] {
				began[p]++
			}
			if began[partitions-1] != 1 || slices.Min(began[:partitions-1]) < first/(2*partitions) {
				t.Errorf("of the first %d tasks %v began in each partition: %v", first, began, order[:first])
			}
		})
	}
}

func TestNoMoreAttemptsAreActiveAtOnceThanThereAreSlots(t *testing.T) {
	t.Parallel()
	const concurrency, tasks = 3, 300
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	s, err := scheduler.New(log, scheduler.Config{}, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	start(t, s.Run)
	h := &house{T: t, log: log, part: log.Partitions()[0]}
	for i := range tasks {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
	}
	var running, most, ran atomic.Int32
	w := h.worker(worker.Config{Concurrency: concurrency})
	w.HandleAny(func(context.Context, worker.Task[json.RawMessage]) (any, error) {
		if n := running.Add(1); n > most.Load() {
			most.Store(n)
		}
		runtime.Gosched()
		running.Add(-1)
		ran.Add(1)
		return nil, nil
	})
	start(t, w.Run)
	h.until("all of them ran", func() bool { return ran.Load() == tasks })
	if got := most.Load(); got > concurrency {
		t.Errorf("%d handlers ran at once", got)
	}
	entries, err := log.Range(t.Context(), h.part, events.ID{}, events.MaxID, 4*tasks)
	if err != nil {
		t.Fatal(err)
	}
	active, worst := 0, 0
	for _, e := range entries {
		switch e.Data.(type) {
		case events.TaskStarted:
			active++
			worst = max(worst, active)
		case events.TaskCompleted:
			active--
		default:
		}
	}
	if worst > concurrency {
		t.Errorf("by the log %d attempts were active at once", worst)
	}
}
