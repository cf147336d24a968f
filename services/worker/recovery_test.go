package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/worker"
)

func TestAnAttemptOutlastsItsLeaseWhileItsWorkerLives(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{})
	extended := make(chan struct{})
	worker.Handle(w, "test", func(ctx context.Context, _ worker.Task[any]) (any, error) {
		<-extended
		return nil, context.Cause(ctx)
	})
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a"})
	began := h.awaitType("a", events.TypeTaskStarted).ID.Ms
	h.until("the lease ends later than three leases after the start", func() bool {
		return h.server.Client().ZScore(t.Context(), h.part.Leases, "a").Val() > float64(began+3*lease.Milliseconds())
	})
	close(extended)
	h.ended("a", "Requested Due Started Completed")
}

func TestALostAttemptIsToldAndItsResultIsNotRecorded(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{ID: "w1"})
	lost := make(chan error, 1)
	worker.Handle(w, "test", func(ctx context.Context, task worker.Task[any]) (any, error) {
		if task.Attempt > 1 {
			return "second", nil
		}
		<-ctx.Done()
		lost <- context.Cause(ctx)
		return "first", nil
	})
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a", Definition: events.Definition{MaxAttempts: 2}})
	h.awaitType("a", events.TypeTaskStarted)
	// As if its worker had been silent for a lease: another one speaks of the attempt first.
	rdb := h.server.Client()
	h.until("it was abandoned", func() bool {
		if err := rdb.ZAdd(t.Context(), h.part.Leases, redis.Z{Score: 1, Member: "a"}).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := h.log.Abandon(t.Context(), "a", 1, "w1", time.Second, new(time.Duration))
		return err == nil
	})
	if cause := <-lost; !errors.Is(cause, worker.ErrLeaseLost) {
		t.Errorf("the handler was told %v", cause)
	}
	e := h.ended("a", "Requested Due Started Failed(abandoned,retry) Due Started Completed")
	if d := e.Data.(events.TaskCompleted); string(d.Result) != `"second"` || d.Attempt != 2 {
		t.Errorf("it was completed with %+v", d)
	}
}

func TestAHandlerThatIgnoresItsTimeoutIsAbandoned(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{})
	hang := make(chan struct{})
	worker.Handle(w, "test", func(_ context.Context, task worker.Task[any]) (any, error) {
		if task.Attempt == 1 {
			<-hang
		}
		return task.Attempt, nil
	})
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a", Definition: events.Definition{MaxAttempts: 2, TimeoutMs: 20}})
	h.ended("a", "Requested Due Started Failed(abandoned,retry) Due Started Completed")
	close(hang)
}

func TestEntriesThatADeadWorkerTookAreClaimed(t *testing.T) {
	t.Parallel()
	h := build(t)
	for i := range 5 {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
	}
	dead := eventlog.Presence{Worker: "dead", Concurrency: 5}
	if err := h.log.Announce(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	if err := h.log.CreateGroup(t.Context(), h.part, events.DefaultQueue); err != nil {
		t.Fatal(err)
	}
	for taken := 0; taken < 5; {
		got, err := h.log.Take(t.Context(), h.part, "dead", []string{events.DefaultQueue}, 5, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		taken += len(got)
	}
	w := h.worker(worker.Config{})
	w.HandleAny(noop)
	start(t, w.Run)
	for i := range 5 {
		h.ended(fmt.Sprint("t", i), "Requested Due Started Completed")
	}
}

func TestATakenMutexDelaysATaskAndNoOther(t *testing.T) {
	t.Parallel()
	h := build(t)
	if err := h.server.Client().Set(t.Context(), h.part.Lock("locked"), "somebody", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	w := h.worker(worker.Config{Concurrency: 2, LockDelay: time.Millisecond})
	w.HandleAny(noop)
	start(t, w.Run)
	h.request(eventlog.Request{Task: "locked"})
	h.awaitType("locked", events.TypeTaskDue)
	for i := range 5 {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
		h.awaitType(fmt.Sprint("t", i), events.TypeTaskCompleted)
	}
	if got := h.story("locked"); got != "Requested Due" {
		t.Errorf("the locked task: %s", got)
	}
	if err := h.server.Client().Del(t.Context(), h.part.Lock("locked")).Err(); err != nil {
		t.Fatal(err)
	}
	h.ended("locked", "Requested Due Started Completed")
}

func TestWhatAnOperatorDestroysIsMended(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{Concurrency: 4})
	w.HandleAny(noop)
	start(t, w.Run)
	rdb, ctx := h.server.Client(), t.Context()
	due := h.part.Due(events.DefaultQueue)
	n := 0
	more := func() {
		for range 20 {
			h.request(eventlog.Request{Task: fmt.Sprint("t", n)})
			n++
		}
	}
	for what, destroy := range map[string]func() error{
		"group":           func() error { return rdb.XGroupDestroy(ctx, due, eventlog.Group).Err() },
		"dispatch stream": func() error { return rdb.Del(ctx, due).Err() },
		"scripts":         func() error { return rdb.ScriptFlush(ctx).Err() },
		"connections":     func() error { return rdb.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err() },
		"an entry that is none of ours": func() error {
			return rdb.XAdd(ctx, &redis.XAddArgs{Stream: due, Values: []string{"hello", "world"}}).Err()
		},
		"a duplicate entry": func() error {
			return rdb.XAdd(ctx, &redis.XAddArgs{Stream: due, Values: []string{"task", "t0", "attempt", "1"}}).Err()
		},
	} {
		more()
		if err := destroy(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		more()
		for i := range n {
			h.awaitType(fmt.Sprint("t", i), events.TypeTaskCompleted)
		}
	}
	for i := range n {
		h.ended(fmt.Sprint("t", i), "Requested Due Started Completed")
	}
	h.until("the dispatch stream is empty", func() bool { return rdb.XLen(ctx, due).Val() == 0 })
}

func TestWhatAHandlerDidSurvivesThatRedisIsAway(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{LeaseTTL: 30 * time.Second})
	finish := make(chan struct{})
	var runs atomic.Int64
	worker.Handle(w, "test", func(context.Context, worker.Task[json.RawMessage]) (any, error) {
		runs.Add(1)
		<-finish
		return "done", nil
	})
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a"})
	h.awaitType("a", events.TypeTaskStarted)
	h.server.Pause()
	close(finish)
	// Longer than a client waits for an answer: the first tries to record fail.
	away := time.NewTimer(4 * time.Second)
	<-away.C
	h.server.Resume()
	e := h.ended("a", "Requested Due Started Completed")
	if d := e.Data.(events.TaskCompleted); string(d.Result) != `"done"` || runs.Load() != 1 {
		t.Errorf("%d runs, and the result is %s", runs.Load(), d.Result)
	}
}
