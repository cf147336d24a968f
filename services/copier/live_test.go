package copier_test

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
	"github.com/tasklog/tasklog/services/copier"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/verifier"
	"github.com/tasklog/tasklog/services/worker"
)

const tasks = 200

// services runs a scheduler and a worker on a log until stop is called; stop lets the worker end what it runs.
func services(t *testing.T, log *eventlog.Log, handle func(task int)) (stop func()) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s, err := scheduler.New(log, scheduler.Config{LeaseTTL: 3 * time.Second, ReconcileEvery: 100 * time.Millisecond}, quiet, nil)
	must(t, err)
	w, err := worker.New(log, worker.Config{LeaseTTL: 3 * time.Second, Concurrency: 8}, quiet)
	must(t, err)
	worker.Handle(w, "n", func(_ context.Context, task worker.Task[int]) (any, error) {
		handle(task.Payload)
		return nil, nil
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) }) // it ends with ctx
	wg.Go(func() { _ = w.Run(ctx) })
	return sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
}

// The log is copied while work is going on, and moved to another Redis with other partitions; there the
// rest is done, and everything once.
func TestWorkGoesOnInTheCopyAndEveryTaskEndsOnce(t *testing.T) {
	source, target := open(t, testredis.Start(t).URL(), "a", 2), open(t, testredis.Start(t).URL(), "b", 3)
	var runs [tasks]atomic.Int64
	var done atomic.Int64
	some := make(chan struct{})
	handle := func(task int) {
		runs[task].Add(1)
		if done.Add(1) == tasks/4 {
			close(some)
		}
	}
	request := func(log *eventlog.Log, i int) error {
		r := eventlog.Request{Task: fmt.Sprint("t", i), Label: events.Label{Queue: fmt.Sprint("q", i%3), Name: "n"}}
		r.MaxAttempts, r.Payload, r.Priority = 1, fmt.Append(nil, i), i%5
		if i%7 == 0 {
			r.Delay = 300 * time.Millisecond
		}
		_, err := log.Request(t.Context(), r)
		return err
	}
	stop := services(t, source, handle)
	defer stop()
	must(t, request(source, 0))
	for i := 1; i < tasks-1; i++ {
		must(t, request(source, i))
		if i == tasks/2 {
			_, err := source.Pause(t.Context(), "q1", "test")
			must(t, err)
		}
		if i%50 == 0 {
			_, err := copier.Run(t.Context(), source, target, config(copier.Follow, target))
			must(t, err)
		}
	}
	<-some
	stop()
	sum, err := copier.Run(t.Context(), source, target, config(copier.Move, target))
	must(t, err)
	if sum.Running != 0 || sum.Behind != 0 || !sum.Opened {
		t.Errorf("%+v", sum)
	}
	if err := request(source, tasks-1); !errors.Is(err, eventlog.ErrRebuilding) {
		t.Errorf("the source takes a task: %v", err)
	}
	proved(t, target)
	same(t, source, target)

	stop = services(t, target, handle)
	defer stop()
	must(t, request(target, tasks-1))
	_, err = target.Resume(t.Context(), "q1", "test")
	must(t, err)
	for began := time.Now(); done.Load() < tasks; pause.For(t.Context(), 5*time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d tasks ended, of %d", done.Load(), tasks)
		}
	}
	stop()
	for i := range runs {
		if n := runs[i].Load(); n != 1 {
			t.Errorf("task t%d ran %d times", i, n)
		}
	}
	_, err = projector.Rebuild(t.Context(), target, projector.Options{})
	must(t, err)
	r, err := verifier.Run(t.Context(), target, verifier.Config{Settled: true})
	if err != nil || !r.OK {
		t.Errorf("%+v %+v, %v", r.Violations, r.Differences, err)
	}
}

// An attempt that runs when the log is moved is lost there and tried again: its worker cannot say any more
// how it ends.
func TestAnAttemptThatRunsWhenTheLogIsMovedIsTriedAgain(t *testing.T) {
	source, target := open(t, testredis.Start(t).URL(), "a", 1), open(t, testredis.Start(t).URL(), "b", 1)
	began, end := make(chan struct{}), make(chan struct{})
	stop := services(t, source, func(int) {
		close(began)
		<-end
	})
	defer stop()
	r := eventlog.Request{Task: "t", Label: events.Label{Queue: "q", Name: "n"}}
	r.MaxAttempts, r.Payload, r.Backoff = 2, []byte("1"), events.Backoff{Type: events.BackoffFixed, DelayMs: 1}
	_, err := source.Request(t.Context(), r)
	must(t, err)
	<-began
	cfg := config(copier.Move, target)
	if _, err := copier.Run(t.Context(), source, target, cfg); !errors.As(err, new(*copier.RunningError)) {
		t.Errorf("got %v", err)
	}
	cfg.Running = true
	cfg.State = stateWith(target, time.Second)
	_, err = copier.Run(t.Context(), source, target, cfg)
	must(t, err)
	ran := make(chan struct{})
	stopThere := services(t, target, func(int) { close(ran) })
	defer stopThere()
	<-ran
	close(end) // the first one ends, and nobody hears of it
	for began := time.Now(); ; pause.For(t.Context(), 5*time.Millisecond) {
		task, err := target.Task(t.Context(), "t")
		must(t, err)
		if task.State == events.StateCompleted && task.Attempt == 2 {
			break
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("it is %+v", task)
		}
	}
	stopThere()
	// What the source's worker has to say it says until it is told to stop.
	must(t, func() error { _, err := copier.Reopen(t.Context(), source, true); return err }())
	stop()
	task, err := source.Task(t.Context(), "t")
	if err != nil || task.State != events.StateCompleted || task.Attempt != 1 {
		t.Errorf("in the source it is %+v, %v", task, err)
	}
}
