package worker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis/network"
	"github.com/tasklog/tasklog/services/worker"
)

// remote returns a worker that reaches the Redis of the house over a network of its own.
func (h *house) remote(cfg worker.Config) (*worker.Worker, *network.Network) {
	h.Helper()
	net := network.Start(h.T, h.server.Addr())
	there := *h
	there.log = open(h.T, net.URL())
	return there.worker(cfg), net
}

// after waits until a time has passed on Redis' clock.
func (h *house) after(d time.Duration) {
	h.Helper()
	begin, err := h.log.Now(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	h.until(d.String()+" have passed", func() bool {
		now, err := h.log.Now(h.Context())
		return err == nil && now.Sub(begin) >= d
	})
}

func TestAPartitionShorterThanTheLeaseCostsNothing(t *testing.T) {
	t.Parallel()
	h := build(t)
	const long = 10 * time.Second
	w, net := h.remote(worker.Config{LeaseTTL: long})
	finish := make(chan struct{})
	var runs atomic.Int64
	worker.Handle(w, "test", func(ctx context.Context, _ worker.Task[any]) (any, error) {
		runs.Add(1)
		<-finish
		return "done", context.Cause(ctx)
	})
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a"})
	h.awaitType("a", events.TypeTaskStarted)
	net.Swallow(network.Requests, network.Replies)
	close(finish) // while nobody hears of it
	h.after(time.Second)
	net.Heal()
	e := h.ended("a", "Requested Due Started Completed")
	if d := e.Data.(events.TaskCompleted); string(d.Result) != `"done"` || runs.Load() != 1 {
		t.Errorf("%d runs, and the result is %s", runs.Load(), d.Result)
	}
}

func TestAPartitionLongerThanTheLeaseEndsTheAttemptAndAnotherWorkerRunsTheTask(t *testing.T) {
	t.Parallel()
	h := build(t)
	cut, net := h.remote(worker.Config{ID: "cut"})
	began, lost := make(chan struct{}), make(chan error, 1)
	worker.Handle(cut, "test", func(ctx context.Context, task worker.Task[any]) (any, error) {
		if task.ID != "a" {
			return nil, nil
		}
		close(began)
		<-ctx.Done()
		lost <- context.Cause(ctx)
		return "first", nil
	})
	start(t, cut.Run)
	h.request(eventlog.Request{Task: "a", Definition: events.Definition{MaxAttempts: 2}})
	h.awaitType("a", events.TypeTaskStarted)
	<-began
	net.Swallow(network.Requests, network.Replies)
	other := h.worker(worker.Config{ID: "other"})
	worker.Handle(other, "test", func(context.Context, worker.Task[any]) (any, error) { return "second", nil })
	start(t, other.Run)
	e := h.ended("a", "Requested Due Started Failed(abandoned,retry) Due Started Completed")
	if d := e.Data.(events.TaskCompleted); d.Worker != "other" || string(d.Result) != `"second"` {
		t.Errorf("it was completed by %s with %s", d.Worker, d.Result)
	}
	net.Heal()
	if cause := <-lost; !errors.Is(cause, worker.ErrLeaseLost) {
		t.Errorf("the handler was told %v", cause)
	}
	// The worker that was cut off serves again.
	const more = 20
	for i := range more {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
	}
	for i := range more {
		h.awaitType(fmt.Sprint("t", i), events.TypeTaskCompleted)
	}
	if got := h.story("a"); !strings.HasSuffix(got, "Due Started Completed") {
		t.Errorf("after the end: %s", got)
	}
}

// Redis does what it is asked, and nobody hears of it: every decision of the worker is unknown, and the
// entries that it took are in its name.
func TestAWorkerThatHearsNothingLosesNothingAndDoesNothingTwice(t *testing.T) {
	t.Parallel()
	h := build(t)
	w, net := h.remote(worker.Config{LeaseTTL: 20 * time.Second, Concurrency: 8})
	const tasks = 100
	var runs [tasks]atomic.Int64
	worker.Handle(w, "test", func(_ context.Context, task worker.Task[any]) (any, error) {
		var n int
		_, err := fmt.Sscanf(task.ID, "t%d", &n)
		runs[n].Add(1)
		return nil, err
	})
	start(t, w.Run)
	for i := range tasks {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
		if i%25 == 10 {
			net.Swallow(network.Replies)
			h.after(300 * time.Millisecond)
			net.Heal()
		}
	}
	for i := range tasks {
		h.ended(fmt.Sprint("t", i), "Requested Due Started Completed")
		if n := runs[i].Load(); n != 1 {
			t.Errorf("task %d ran %d times", i, n)
		}
	}
}

func TestConnectionsThatBreakUnderLoadLoseNothingAndDoNothingTwice(t *testing.T) {
	t.Parallel()
	h := build(t)
	w, net := h.remote(worker.Config{LeaseTTL: 20 * time.Second, Concurrency: 8})
	const tasks = 120
	var runs atomic.Int64
	worker.Handle(w, "test", func(context.Context, worker.Task[any]) (any, error) {
		runs.Add(1)
		return nil, nil
	})
	start(t, w.Run)
	faults := []func(){
		func() { net.Reset(network.Requests) },
		func() { net.Reset(network.Replies) },
		func() { net.Cut(network.Requests, 700) }, // in the middle of a pipeline
		func() { net.Cut(network.Replies, 90) },
	}
	for i := range tasks {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
		if i%10 == 5 {
			faults[i/10%len(faults)]()
			h.after(100 * time.Millisecond)
			net.Heal()
		}
	}
	for i := range tasks {
		h.ended(fmt.Sprint("t", i), "Requested Due Started Completed")
	}
	if n := runs.Load(); n != tasks {
		t.Errorf("%d runs of %d tasks", n, tasks)
	}
}
