package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/worker"
)

type email struct {
	UserID   int    `json:"userId"`
	Template string `json:"template"`
}

func TestATaskGoesThroughTheLog(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, url string) {
		h := on(t, url)
		w := h.worker(worker.Config{})
		worker.Handle(w, "sendEmail", func(_ context.Context, task worker.Task[email]) (any, error) {
			if task.Attempt != 1 || task.IdempotencyKey() != "a" || task.Queue != "mail" || task.Priority != 7 {
				return nil, fmt.Errorf("got %+v", task)
			}
			return map[string]any{"to": task.Payload.UserID}, nil
		})
		start(t, w.Run)
		h.request(eventlog.Request{
			Task: "a", Label: events.Label{Queue: "mail", Name: "sendEmail"}, Delay: 20 * time.Millisecond,
			Definition: events.Definition{Payload: json.RawMessage(`{"userId":123,"template":"welcome"}`), Priority: 7},
		})
		e := h.ended("a", "Requested Due Started Completed")
		if d, ok := e.Data.(events.TaskCompleted); !ok || string(d.Result) != `{"to":123}` || d.Worker == "" {
			t.Errorf("it ended with %+v", e.Data)
		}
		due := h.awaitType("a", events.TypeTaskDue)
		if d := due.Data.(events.TaskDue); due.ID.Ms < d.DueAt {
			t.Errorf("due at %d, and became so at %d", d.DueAt, due.ID.Ms)
		}
	})
}

func TestHowAHandlerEndsIsWhatTheLogSays(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{})
	boom := errors.New("boom")
	worker.Handle(w, "second time", func(_ context.Context, task worker.Task[any]) (any, error) {
		if task.Attempts == 1 {
			return nil, boom
		}
		return task.Attempt, nil
	})
	worker.Handle(w, "never", func(context.Context, worker.Task[any]) (any, error) { return nil, boom })
	worker.Handle(w, "rejects", func(context.Context, worker.Task[any]) (any, error) { return nil, worker.NonRetryable(boom) })
	worker.Handle(w, "panics", func(context.Context, worker.Task[any]) (any, error) { panic(boom) })
	worker.Handle(w, "exits", func(context.Context, worker.Task[any]) (any, error) {
		runtime.Goexit()
		return nil, nil
	})
	worker.Handle(w, "hangs", func(ctx context.Context, _ worker.Task[any]) (any, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	worker.Handle(w, "typed", func(context.Context, worker.Task[email]) (any, error) { return nil, nil })
	worker.Handle(w, "no json", func(context.Context, worker.Task[any]) (any, error) { return make(chan int), nil })
	start(t, w.Run)
	for _, tt := range []struct {
		name, payload, story string
		attempts             int
		timeout              int64
		reason               events.Reason
		says                 string
	}{
		{name: "second time", attempts: 2, story: "Requested Due Started Failed(error,retry) Due Started Completed"},
		{name: "never", attempts: 2, story: "Requested Due Started Failed(error,retry) Due Started Failed(error)", reason: events.ReasonError, says: "boom"},
		{name: "rejects", attempts: 5, story: "Requested Due Started Failed(rejected)", reason: events.ReasonRejected, says: "boom"},
		{name: "panics", attempts: 1, story: "Requested Due Started Failed(panic)", reason: events.ReasonPanic, says: "worker_test.go"},
		{name: "exits", attempts: 1, story: "Requested Due Started Failed(panic)", reason: events.ReasonPanic, says: "Goexit"},
		{name: "hangs", attempts: 1, timeout: 30, story: "Requested Due Started Failed(timeout)", reason: events.ReasonTimeout, says: "30ms"},
		{name: "typed", payload: `{"userId":"x"}`, attempts: 5, story: "Requested Due Started Failed(rejected)", reason: events.ReasonRejected, says: "payload.userId"},
		{name: "no json", attempts: 5, story: "Requested Due Started Failed(rejected)", reason: events.ReasonRejected, says: "result"},
	} {
		h.request(eventlog.Request{Task: tt.name, Label: events.Label{Name: tt.name}, Definition: events.Definition{
			Payload: json.RawMessage(tt.payload), MaxAttempts: tt.attempts, TimeoutMs: tt.timeout,
		}})
		e := h.ended(tt.name, tt.story)
		if d, failed := e.Data.(events.TaskFailed); failed && (d.Reason != tt.reason || !strings.Contains(d.Error, tt.says)) {
			t.Errorf("%s: %s %q, want %q", tt.name, d.Reason, d.Error, tt.says)
		}
	}
	h.all = nil // a worker whose handlers panicked and exited goes on
	h.request(eventlog.Request{Task: "last", Label: events.Label{Name: "typed"}, Definition: events.Definition{Payload: json.RawMessage(`{}`)}})
	h.awaitType("last", events.TypeTaskCompleted)
}

func TestARunningTaskIsCancelled(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{LeaseTTL: 20 * time.Second}) // the signal, and no lost lease, ends it
	ended := make(chan error, 1)
	worker.Handle(w, "test", func(ctx context.Context, _ worker.Task[any]) (any, error) {
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, nil
	})
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a"})
	h.awaitType("a", events.TypeTaskStarted)
	if _, err := h.log.Cancel(t.Context(), "a", "me", "changed my mind"); err != nil {
		t.Fatal(err)
	}
	if cause := <-ended; !errors.Is(cause, worker.ErrCancelled) {
		t.Errorf("the handler was told %v", cause)
	}
	h.ended("a", "Requested Due Started Cancelled")
	h.until("the mutex is released", func() bool {
		return h.server.Client().Exists(t.Context(), h.part.Lock("a")).Val() == 0
	})
}

// until waits for something that Redis shows.
func (h *house) until(what string, ok func() bool) {
	h.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			h.Fatalf("it did not happen: %s", what)
		}
		tick := time.NewTimer(2 * time.Millisecond)
		<-tick.C
	}
}

func TestMiddlewareSeesTheTask(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{})
	var tries atomic.Int64
	worker.Handle(w, "test", func(_ context.Context, task worker.Task[email]) (any, error) {
		if tries.Add(1) < 3 {
			return nil, errors.New("not yet")
		}
		return task.Payload.Template, nil
	})
	var seen atomic.Pointer[string]
	w.Use(func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			s := strings.Join([]string{msg.UUID, msg.Metadata.Get(worker.MetaName), msg.Metadata.Get(worker.MetaAttempt), string(msg.Payload)}, " ")
			seen.Store(&s)
			return next(msg)
		}
	}, middleware.Retry{MaxRetries: 3, InitialInterval: time.Millisecond}.Middleware)
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a", Definition: events.Definition{Payload: json.RawMessage(`{"template":"x"}`)}})
	e := h.ended("a", "Requested Due Started Completed")
	if d := e.Data.(events.TaskCompleted); string(d.Result) != `"x"` || tries.Load() != 3 {
		t.Errorf("%d tries, result %s", tries.Load(), d.Result)
	}
	if got := *seen.Load(); got != `a test 1 {"template":"x"}` {
		t.Errorf("the middleware saw %q", got)
	}
}

func TestATaskWithoutAHandlerHereIsGivenBack(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{ID: "old"})
	worker.Handle(w, "other", func(context.Context, worker.Task[any]) (any, error) { return nil, nil })
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a"})
	e := h.awaitType("a", events.TypeTaskReleased)
	if d := e.Data.(events.TaskReleased); d.Reason != events.ReasonNoHandler || d.RetryAt <= e.ID.Ms {
		t.Errorf("%+v", d)
	}
	if got := h.story("a"); got != "Requested Due Released(no handler)" {
		t.Errorf("it burned an attempt: %s", got)
	}
}

func TestShutdownLosesNothing(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{Concurrency: 4, Grace: 20 * time.Second})
	release := make(chan struct{})
	var ran atomic.Int64
	worker.Handle(w, "test", func(context.Context, worker.Task[any]) (any, error) {
		ran.Add(1)
		<-release
		return nil, nil
	})
	stop := start(t, w.Run)
	const n = 40
	for i := range n {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
	}
	h.until("four run", func() bool { return ran.Load() == 4 })
	var stopped sync.WaitGroup
	stopped.Go(stop)
	h.until("it signed off", func() bool { return h.server.Client().HLen(t.Context(), h.part.Workers).Val() == 0 })
	close(release)
	stopped.Wait()
	if got := h.server.Client().ZCard(t.Context(), h.part.Leases).Val(); got != 0 {
		t.Errorf("%d leases are left", got)
	}
	if keys := h.server.Client().Keys(t.Context(), h.part.Lock("*")).Val(); len(keys) > 0 {
		t.Errorf("it left %v", keys)
	}
	next := h.worker(worker.Config{})
	next.HandleAny(noop)
	start(t, next.Run)
	for i := range n {
		task := fmt.Sprint("t", i)
		h.awaitType(task, events.TypeTaskCompleted)
		if got := strings.ReplaceAll(h.story(task), " Released(shutdown) Due", ""); got != "Requested Due Started Completed" {
			t.Errorf("task %s: %s", task, h.story(task))
		}
	}
}

func TestAHandlerThatOutlastsTheGracePeriodGivesItsTaskBack(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{Grace: -1})
	var once sync.Once
	zombie := make(chan struct{})
	worker.Handle(w, "obeys", func(ctx context.Context, task worker.Task[any]) (any, error) {
		if task.Attempt > 1 {
			return nil, nil
		}
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	worker.Handle(w, "ignores", func(_ context.Context, task worker.Task[any]) (any, error) {
		if task.Attempt == 1 {
			<-zombie
		}
		return "too late", nil
	})
	stop := start(t, w.Run)
	t.Cleanup(func() { once.Do(func() { close(zombie) }) })
	for _, name := range []string{"obeys", "ignores"} {
		h.request(eventlog.Request{Task: name, Label: events.Label{Name: name}})
		h.awaitType(name, events.TypeTaskStarted)
	}
	stop()
	for _, name := range []string{"obeys", "ignores"} {
		h.awaitType(name, events.TypeTaskReleased)
	}
	next := h.worker(worker.Config{ID: "next"})
	next.HandleAny(noop)
	start(t, next.Run)
	for _, name := range []string{"obeys", "ignores"} {
		h.awaitType(name, events.TypeTaskCompleted)
		// A read that was under way when the worker stopped may take the task once more, unstarted.
		got := strings.Replace(h.story(name), "Released(shutdown) Due Released(shutdown)", "Released(shutdown)", 1)
		if got != "Requested Due Started Released(shutdown) Due Started Completed" {
			t.Errorf("%s: %s", name, got)
		}
	}
	once.Do(func() { close(zombie) })
}

func TestManyHandlersThatHangDoNotHoldUpAShutdownWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	h := build(t)
	const n = 12
	w := h.worker(worker.Config{Concurrency: n, Grace: -1, LeaseTTL: time.Minute})
	hang := make(chan struct{})
	worker.Handle(w, "test", func(context.Context, worker.Task[any]) (any, error) {
		<-hang
		return nil, nil
	})
	stop := start(t, w.Run)
	defer close(hang)
	for i := range n {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
	}
	for i := range n {
		h.awaitType(fmt.Sprint("t", i), events.TypeTaskStarted)
	}
	h.server.Pause()
	defer h.server.Resume()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 16*time.Second { // one after the other they would take 2 s each, at least
		t.Errorf("it took %s to stop", took)
	}
}

func TestANewQueueIsServedAtOnce(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{})
	w.HandleAny(noop)
	start(t, w.Run)
	h.request(eventlog.Request{Task: "first"})
	h.awaitType("first", events.TypeTaskCompleted) // it serves, and waits for more
	h.request(eventlog.Request{Task: "a", Label: events.Label{Queue: "brand new"}})
	due := h.awaitType("a", events.TypeTaskDue)
	started := h.awaitType("a", events.TypeTaskStarted)
	if late := started.ID.Ms - due.ID.Ms; late > 1000 {
		t.Errorf("the first task of a new queue waited %d ms for its worker", late)
	}
}

func TestUrgentTasksOvertakeABacklog(t *testing.T) {
	t.Parallel()
	h := build(t)
	const backlog, urgent = 10_000, 10
	var wg sync.WaitGroup
	for g := range 50 {
		wg.Go(func() {
			for i := g; i < backlog; i += 50 {
				h.request(eventlog.Request{Task: fmt.Sprint("slow", i), Definition: events.Definition{Priority: 5}})
			}
		})
	}
	wg.Wait()
	w := h.worker(worker.Config{Concurrency: 10})
	var begun, others, overtaken, seen atomic.Int64 // overtaken: others when the last urgent one started
	posted, done := make(chan struct{}), make(chan struct{})
	w.HandleAny(func(_ context.Context, task worker.Task[json.RawMessage]) (any, error) {
		if strings.HasPrefix(task.ID, "urgent") {
			if seen.Add(1) == urgent {
				overtaken.Store(others.Load())
				close(done)
			}
			return nil, nil
		}
		others.Add(1)
		if begun.Add(1) == 10 { // every slot runs one of the backlog
			for i := range urgent {
				h.request(eventlog.Request{Task: fmt.Sprint("urgent", i), Definition: events.Definition{Priority: 1}})
			}
			others.Store(0)
			close(posted)
		}
		<-posted
		return nil, nil
	})
	start(t, w.Run)
	<-done
	if n := overtaken.Load(); n > 40 {
		t.Errorf("%d others started before the last of %d urgent tasks, want at most 40", n, urgent)
	} else {
		t.Logf("%d others started before the last urgent task", n)
	}
}
