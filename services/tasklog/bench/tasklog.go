package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/client"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

// payload has 100 bytes.
var payload = json.RawMessage(`{"data":"` + strings.Repeat("x", 89) + `"}`)

// tasklog is Tasklog with its defaults. Its services, started one by one, and its client share this process.
type tasklog struct {
	log    *eventlog.Log // of the services
	client *client.Client
	shut   func()
	logger *slog.Logger

	stop     context.CancelFunc
	services sync.WaitGroup

	handlers atomic.Int64 // that have begun
	mu       sync.Mutex
	lates    []float64
}

func openTasklog(ctx context.Context, srv *server) (side, error) { return newTasklog(ctx, srv) }

func newTasklog(ctx context.Context, srv *server) (*tasklog, error) {
	log, shut, err := srv.open(ctx)
	if err != nil {
		return nil, err
	}
	c, err := client.Connect(ctx, srv.url, client.Options{})
	if err != nil {
		shut()
		return nil, err
	}
	return &tasklog{
		log: log, client: c, shut: shut, stop: func() {},
		logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, nil
}

func (t *tasklog) close() {
	t.stop()
	t.services.Wait()
	_ = t.client.Close() // the row is over
	t.shut()
}

// run runs services until close.
func (t *tasklog) run(services ...func(context.Context) error) {
	ctx, stop := context.WithCancel(context.Background())
	before := t.stop
	t.stop = func() { stop(); before() }
	for _, run := range services {
		t.services.Go(func() {
			if err := run(ctx); err != nil {
				t.logger.LogAttrs(ctx, slog.LevelError, "a service ended", slog.Any("error", err))
			}
		})
	}
}

func (t *tasklog) attend(context.Context) error {
	sched, err := scheduler.New(t.log, scheduler.Config{}, t.logger, nil)
	if err != nil {
		return err
	}
	proj, err := projector.New(t.log, projector.Config{}, t.logger, nil)
	if err != nil {
		return err
	}
	t.run(sched.Run, proj.Run)
	return nil
}

func (t *tasklog) work(_ context.Context, concurrency int) error {
	w, err := worker.New(t.log, worker.Config{Concurrency: concurrency, Grace: time.Second}, t.logger)
	if err != nil {
		return err
	}
	worker.Handle(w, "noop", func(context.Context, worker.Task[json.RawMessage]) (any, error) {
		t.handlers.Add(1)
		return nil, nil
	})
	worker.Handle(w, "stamped", func(_ context.Context, task worker.Task[stamp]) (any, error) {
		late := float64(time.Now().UnixMicro())/1000 - task.Payload.Due
		t.mu.Lock()
		t.lates = append(t.lates, late)
		t.mu.Unlock()
		t.handlers.Add(1)
		return nil, nil
	})
	t.run(w.Run)
	return nil
}

func (t *tasklog) serve(ctx context.Context) (string, error) {
	a, err := api.New(t.log, api.Config{Addr: "127.0.0.1:0"}, t.logger, nil)
	if err != nil {
		return "", err
	}
	if err := a.Listen(ctx); err != nil {
		a.Close()
		return "", err
	}
	t.run(a.Run)
	return "http://" + a.Addr() + "/api/tasks", nil
}

func (t *tasklog) enqueue(ctx context.Context, l load) error {
	return each(l.N, l.Callers, func(int) error {
		_, err := t.client.Enqueue(ctx, client.Task{Name: "noop", Payload: payload})
		return err
	})
}

// each calls f for every number below n, from so many goroutines. It returns the first error.
func each(n, callers int, f func(i int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, callers)
	for range callers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := f(int(i) - 1); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	close(errs)
	return <-errs
}

// atOnce is how many tasks a bulk asks for.
const atOnce = 1000

func (t *tasklog) bulk(ctx context.Context, n int) error {
	return t.many(ctx, n, func(int) client.Task { return client.Task{Name: "noop", Payload: payload} })
}

// many asks for n tasks, bulk after bulk.
func (t *tasklog) many(ctx context.Context, n int, task func(i int) client.Task) error {
	tasks := make([]client.Task, 0, atOnce)
	for from := 0; from < n; from += atOnce {
		tasks = tasks[:0]
		for i := from; i < min(from+atOnce, n); i++ {
			tasks = append(tasks, task(i))
		}
		for _, err := range t.client.EnqueueMany(ctx, slices.Values(tasks)) {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tasklog) begun(ctx context.Context, n int) error {
	return until(ctx, func() (bool, error) { return t.handlers.Load() >= int64(n), nil })
}

// finished waits until every task is in the log with its four events: requested, due, started, completed.
func (t *tasklog) finished(ctx context.Context, n int) error {
	if err := t.begun(ctx, n); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		var entries int64
		for _, p := range t.log.Partitions() {
			more, err := t.log.Len(ctx, p)
			if err != nil {
				return false, err
			}
			entries += more
		}
		return entries >= 4*int64(n), nil
	})
}

// settled waits until the views have counted all that is in the log.
func (t *tasklog) settled(ctx context.Context) error {
	store := views.New(t.log)
	for _, p := range t.log.Partitions() {
		last, err := t.log.Last(ctx, p)
		if err != nil {
			return err
		}
		if err := until(ctx, func() (bool, error) {
			at, err := store.Checkpoint(ctx, p)
			return at.Compare(last) >= 0, err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tasklog) late(context.Context) ([]float64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lates, nil
}

func (t *tasklog) cpu() (time.Duration, error) {
	var ru syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru)
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), err
}

// until asks every few milliseconds, for five minutes at the most.
func until(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Minute, errors.New("it takes too long"))
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
