package client_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/client"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A house is a Redis with a log, and a client with connections of its own.
type house struct {
	*testing.T
	redis *testredis.Server
	log   *eventlog.Log
	*client.Client
}

func build(t *testing.T, args ...string) *house {
	t.Helper()
	t.Parallel()
	h := &house{T: t, redis: testredis.Start(t, args...)}
	conn, err := eventlog.Connect(h.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if h.log, err = eventlog.Open(t.Context(), conn, eventlog.Config{}); err != nil {
		t.Fatal(err)
	}
	h.Client = h.another(client.Options{})
	return h
}

// another returns one more client.
func (h *house) another(opts client.Options) *client.Client {
	h.Helper()
	c, err := client.Connect(h.Context(), h.redis.URL(), opts)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if err := c.Close(); err != nil {
			h.Error(err)
		}
	})
	return c
}

// work runs a scheduler, and a worker with these handlers:
//
//	echo    completes with its payload
//	reject  fails for good
//	hold    runs until the task is cancelled
func (h *house) work() {
	h.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s, err := scheduler.New(h.log, scheduler.Config{}, quiet, nil)
	if err != nil {
		h.Fatal(err)
	}
	w, err := worker.New(h.log, worker.Config{}, quiet)
	if err != nil {
		h.Fatal(err)
	}
	worker.Handle(w, "echo", func(_ context.Context, t worker.Task[any]) (any, error) { return t.Payload, nil })
	worker.Handle(w, "reject", func(context.Context, worker.Task[any]) (any, error) {
		return nil, worker.NonRetryable(errors.New("no"))
	})
	worker.Handle(w, "hold", func(ctx context.Context, _ worker.Task[any]) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	for _, run := range []func(context.Context) error{s.Run, w.Run} {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		h.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				h.Error(err)
			}
		})
	}
}

// enqueue asks for a task.
func (h *house) enqueue(t client.Task) client.Receipt {
	h.Helper()
	r, err := h.Enqueue(h.Context(), t)
	if err != nil {
		h.Fatal(err)
	}
	return r
}

// events returns what the log holds of a task, or, without one, of everything.
func (h *house) events(task string) (list []events.Event) {
	h.Helper()
	entries, err := h.log.Range(h.Context(), h.log.Partitions()[0], events.ID{}, events.MaxID, 10_000)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		if e.Err != nil {
			h.Fatal(e.Err)
		}
		if task == "" || e.Task == task {
			list = append(list, e.Event)
		}
	}
	return list
}

// until waits for a condition that nothing signals.
func (h *house) until(what string, holds func() bool) {
	h.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); !holds(); {
		select {
		case <-tick.C:
		case <-late:
			h.Fatalf("waited too long until %s", what)
		}
	}
}

// is waits until a task is in a state.
func (h *house) is(task string, state events.State) {
	h.Helper()
	h.until(task+" is "+string(state), func() bool {
		t, err := h.Task(h.Context(), task)
		return err == nil && t.State == state
	})
}
