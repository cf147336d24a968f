package rebuilder_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/rebuilder"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/verifier"
	"github.com/tasklog/tasklog/services/worker"
)

// Everything but the log is lost while handlers run, and made again under a scheduler and a worker that know
// nothing of it.
func TestWorkGoesOnAcrossARebuildAndEveryTaskEndsOnce(t *testing.T) {
	server := testredis.Start(t)
	log := testredis.Open(t, server.URL(), 2)
	h := &house{log: log, rdb: log.Conn().View, fail: t.Fatal}
	ctx, cancel := context.WithCancel(t.Context())
	quiet := slog.New(slog.DiscardHandler)
	s, err := scheduler.New(log, scheduler.Config{LeaseTTL: 3 * time.Second, ReconcileEvery: 100 * time.Millisecond}, quiet, nil)
	h.must(err)
	w, err := worker.New(log, worker.Config{LeaseTTL: 3 * time.Second, Concurrency: 8}, quiet)
	h.must(err)
	var runs [60]atomic.Int64
	var running atomic.Int64
	enough := make(chan struct{})
	worker.Handle(w, "n", func(ctx context.Context, task worker.Task[int]) (any, error) {
		runs[task.Payload].Add(1)
		running.Add(1)
		select {
		case <-enough:
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = s.Run(ctx) }) // it ends with ctx
	wg.Go(func() { _ = w.Run(ctx) })
	request := func(i int) error {
		_, err := log.Request(t.Context(), eventlog.Request{
			Task: fmt.Sprint("t", i), Label: events.Label{Queue: "q", Name: "n"},
			Definition: events.Definition{MaxAttempts: 1, Payload: fmt.Append(nil, i)},
		})
		return err
	}
	for i := range 59 {
		h.must(request(i))
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		for began := time.Now(); !ok(); pause.For(t.Context(), 5*time.Millisecond) {
			if time.Since(began) > 30*time.Second {
				t.Fatal(what)
			}
		}
	}
	wait("no handlers run", func() bool { return running.Load() == 8 })

	tokens := make([]string, 2)
	for i, p := range log.Partitions() {
		tokens[i], err = rebuilder.Shut(t.Context(), log, p)
		h.must(err)
	}
	for _, p := range log.Partitions() {
		keys := h.rdb.Keys(t.Context(), p.Task("")+"*").Val()
		keys = append(keys, p.Delayed, p.Waiting("q"), p.Due("q"), p.Ready, p.Queues, p.Leases)
		h.must(h.rdb.Del(t.Context(), keys...).Err())
	}
	if err := request(59); !errors.Is(err, eventlog.ErrRebuilding) {
		t.Errorf("got %v", err)
	}
	close(enough) // they end while there is no row of them
	for i, p := range log.Partitions() {
		_, err := rebuilder.Partition(t.Context(), log, p, tokens[i], rebuilder.Config{LeaseTTL: 3 * time.Second})
		h.must(err)
	}
	h.must(request(59))
	wait("not all tasks ended", func() bool { return len(h.rowsOf(t.Context(), events.StateCompleted)) == len(runs) })
	for i := range runs {
		if n := runs[i].Load(); n != 1 {
			t.Errorf("task t%d ran %d times", i, n)
		}
	}
	r, err := verifier.Run(t.Context(), log, verifier.Config{Settled: true})
	if err != nil || !r.OK {
		t.Errorf("%+v, %v", r, err)
	}
}
