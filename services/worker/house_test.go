package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

const lease = time.Second

func TestMain(m *testing.M) {
	worker.SetMinLease(lease)
	if url := os.Getenv(mortalURL); url != "" {
		_, _ = fmt.Fprintln(os.Stderr, mortal(url)) // it dies before it comes here
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// A house is a log on a Redis of its own, with a scheduler that runs.
type house struct {
	*testing.T
	server *testredis.Server // nil with the embedded Redis
	log    *eventlog.Log
	part   eventlog.Partition
	all    []events.Event
}

func build(t *testing.T) *house {
	t.Helper()
	server := testredis.Start(t)
	h := on(t, server.URL())
	h.server = server
	return h
}

func on(t *testing.T, url string) *house {
	t.Helper()
	log := open(t, url)
	s, err := scheduler.New(log, scheduler.Config{LeaseTTL: lease, ReconcileEvery: 100 * time.Millisecond}, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	start(t, s.Run)
	return &house{T: t, log: log, part: log.Partitions()[0]}
}

func open(t *testing.T, url string) *eventlog.Log {
	t.Helper()
	return testredis.Open(t, url, 0)
}

// quiet is a logger for tests; TASKLOG_TEST_LOG=1 lets it speak.
func quiet() *slog.Logger {
	if os.Getenv("TASKLOG_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

// start runs something until the test ends, or until stop was called and has returned.
func start(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// worker returns one that does not run yet.
func (h *house) worker(cfg worker.Config) *worker.Worker {
	h.Helper()
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = lease
	}
	w, err := worker.New(h.log, cfg, quiet())
	if err != nil {
		h.Fatal(err)
	}
	return w
}

func (h *house) request(r eventlog.Request) {
	h.Helper()
	if r.Queue == "" {
		r.Queue = events.DefaultQueue
	}
	if r.Name == "" {
		r.Name = "test"
	}
	r.MaxAttempts = max(r.MaxAttempts, 1)
	r.Backoff = events.Backoff{Type: events.BackoffFixed, DelayMs: 1, Jitter: new(0.0)}
	if _, err := h.log.Request(h.Context(), r); err != nil {
		h.Fatal(err)
	}
}

// await follows the log until match holds for an event, and returns it.
func (h *house) await(what string, match func(events.Event) bool) events.Event {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 30*time.Second)
	defer cancel()
	for {
		if i := slices.IndexFunc(h.all, match); i >= 0 {
			return h.all[i]
		}
		var pos events.ID
		if n := len(h.all); n > 0 {
			pos = h.all[n-1].ID
		}
		entries, err := h.log.Follow(ctx, h.part, pos, 1000, time.Second)
		if err != nil && (!eventlog.Unavailable(err) || ctx.Err() != nil) {
			h.Fatalf("waiting for %s: %v; the log: %s", what, err, h.story(""))
		}
		for _, e := range entries {
			if e.Err != nil {
				h.Fatal(e.Err)
			}
			h.all = append(h.all, e.Event)
		}
	}
}

func (h *house) awaitType(task string, typ events.Type) events.Event {
	h.Helper()
	return h.await(string(typ)+" of "+task, func(e events.Event) bool { return e.Task == task && e.Data.Type() == typ })
}

// story tells the events of a task, or of all, in order: "Requested Due(1) Started(1) Completed(1)".
func (h *house) story(task string) string {
	var words []string
	for _, e := range h.all {
		if task == "" || e.Task == task {
			words = append(words, word(e.Data))
		}
	}
	return strings.Join(words, " ")
}

func word(d events.Data) string {
	name := strings.TrimPrefix(string(d.Type()), "Task")
	switch d := d.(type) {
	case events.TaskFailed:
		if d.RetryAt > 0 {
			return name + "(" + string(d.Reason) + ",retry)"
		}
		return name + "(" + string(d.Reason) + ")"
	case events.TaskReleased:
		return name + "(" + string(d.Reason) + ")"
	case events.TaskRequested, events.TaskDue, events.TaskStarted, events.TaskCompleted,
		events.TaskCancelled, events.TaskRetryRequested, events.QueuePaused, events.QueueResumed:
	}
	return name
}

// ended waits for the final event of a task and checks its story.
func (h *house) ended(task, story string) events.Event {
	h.Helper()
	e := h.await("the end of "+task, func(e events.Event) bool { return e.Task == task && events.Next(e.Data).Final() })
	if got := h.story(task); got != story {
		h.Errorf("task %s: %s\nwant: %s", task, got, story)
	}
	return e
}

// noop is a handler that does nothing.
func noop(context.Context, worker.Task[json.RawMessage]) (any, error) { return nil, nil }
