package worker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/worker"
)

// mortalURL makes this test binary a worker on a Redis whose handlers die of what the task is called.
const mortalURL = "TASKLOG_TEST_MORTAL"

// mortal runs a worker until one of its handlers ends the process.
func mortal(url string) error {
	w, err := worker.Connect(context.Background(), url, worker.Config{LeaseTTL: lease})
	if err != nil {
		return err
	}
	worker.Handle(w, "exit", func(context.Context, worker.Task[any]) (any, error) {
		os.Exit(3)
		return nil, nil
	})
	worker.Handle(w, "overflow", func(context.Context, worker.Task[any]) (any, error) { return deeper(1), nil })
	worker.Handle(w, "panic elsewhere", func(context.Context, worker.Task[any]) (any, error) {
		dead := make(chan struct{})
		go func() { defer close(dead); panic("nobody can recover this") }()
		<-dead
		return nil, nil
	})
	return w.Run(context.Background())
}

// deeper never returns: the stack overflows.
func deeper(n int) int { return n + deeper(n+1) } //nolint:staticcheck // it shall not end

func TestATaskThatKillsItsWorkerFailsAfterItsAttempts(t *testing.T) {
	t.Parallel()
	h := build(t)
	for i, name := range []string{"exit", "overflow", "panic elsewhere"} {
		task := fmt.Sprint("t", i)
		const attempts = 2
		h.request(eventlog.Request{Task: task, Label: events.Label{Name: name}, Definition: events.Definition{MaxAttempts: attempts}})
		for range attempts {
			c := exec.CommandContext(t.Context(), os.Args[0]) //nolint:gosec // this test
			c.Env = append(os.Environ(), mortalURL+"="+h.server.URL(), "GOTRACEBACK=none")
			err := c.Run()
			if _, died := errors.AsType[*exec.ExitError](err); !died {
				t.Fatalf("%s: the worker ended with %v", name, err)
			}
		}
		h.ended(task, "Requested Due Started Failed(abandoned,retry) Due Started Failed(abandoned)")
	}
}

func TestATaskThatIsDeliveredAgainAndAgainStartsOnce(t *testing.T) {
	t.Parallel()
	h := build(t)
	finish := make(chan struct{})
	var runs atomic.Int64
	for _, id := range []string{"w1", "w2"} {
		w := h.worker(worker.Config{ID: id, LockDelay: time.Millisecond})
		worker.Handle(w, "test", func(context.Context, worker.Task[any]) (any, error) {
			runs.Add(1)
			<-finish
			return nil, nil
		})
		start(t, w.Run)
	}
	h.request(eventlog.Request{Task: "a"})
	h.awaitType("a", events.TypeTaskStarted)
	rdb, due := h.server.Client(), h.part.Due(events.DefaultQueue)
	for _, attempt := range []string{"1", "1", "2", "0"} {
		entry := &redis.XAddArgs{Stream: due, Values: []string{"task", "a", "attempt", attempt, "label", `"queue":"default","name":"test"`}}
		if err := rdb.XAdd(t.Context(), entry).Err(); err != nil {
			t.Fatal(err)
		}
		if err := rdb.XGroupSetID(t.Context(), due, eventlog.Group, "0").Err(); err != nil {
			t.Fatal(err)
		}
	}
	h.request(eventlog.Request{Task: "b"}) // it comes after all of these
	h.awaitType("b", events.TypeTaskStarted)
	close(finish)
	h.ended("a", "Requested Due Started Completed")
	h.ended("b", "Requested Due Started Completed")
	h.until("nothing is left in the dispatch stream", func() bool { return rdb.XLen(t.Context(), due).Val() == 0 })
	if n := runs.Load(); n != 2 {
		t.Errorf("%d runs of 2 tasks", n)
	}
}
