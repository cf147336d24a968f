package client_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/client"
)

// refused checks an error for the state that does not allow what was asked.
func (h *house) refused(err error, state events.State) {
	h.Helper()
	if r, ok := errors.AsType[*eventlog.RefusedError](err); !ok || r.State != state {
		h.Errorf("got %v, want a RefusedError for %s", err, state)
	}
}

func TestTaskTellsWhatTheTaskIs(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "sendEmail", ID: "a", Queue: "mail", Priority: 3, Delay: time.Hour})
	got, err := h.Task(t.Context(), "a")
	if err != nil || got.State != events.StateDelayed || got.Queue != "mail" || got.Name != "sendEmail" || got.Priority != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := h.Task(t.Context(), "b"); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestCancelEndsATaskOnceAndSaysWhoAndWhy(t *testing.T) {
	h := build(t)
	h.work()
	ops := h.another(client.Options{By: "ops"})
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	for range 2 { // cancelling a cancelled one succeeds
		if err := ops.Cancel(t.Context(), "a", "not needed"); err != nil {
			t.Error(err)
		}
	}
	list := h.events("a")
	if d, ok := list[len(list)-1].Data.(events.TaskCancelled); len(list) != 2 || !ok || d.By != "ops" || d.Reason != "not needed" {
		t.Errorf("the log holds %v", list)
	}
	if err := h.Cancel(t.Context(), "b", ""); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	for name, state := range map[string]events.State{"echo": events.StateCompleted, "reject": events.StateFailed} {
		h.enqueue(client.Task{Name: name, ID: name})
		if _, err := h.Wait(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		h.refused(h.Cancel(t.Context(), name, ""), state)
	}
}

func TestRetryOpensOnlyWhatFailedOrWasCancelled(t *testing.T) {
	h := build(t)
	h.work()
	h.enqueue(client.Task{Name: "reject", ID: "a"})
	before, err := h.Wait(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Retry(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if o, err := h.Wait(t.Context(), "a"); err != nil || o.Task.Attempt != 2 || o.Event.Compare(before.Event) <= 0 {
		t.Errorf("the second time it ended so: %+v, %v", o, err)
	}
	var asked []events.TaskRetryRequested
	for _, e := range h.events("a") {
		if d, ok := e.Data.(events.TaskRetryRequested); ok {
			asked = append(asked, d)
		}
	}
	if len(asked) != 1 || asked[0].By != "client" || asked[0].From != events.StateFailed {
		t.Errorf("the log says %+v", asked)
	}
	h.enqueue(client.Task{Name: "echo", ID: "b"})
	if _, err := h.Wait(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	h.refused(h.Retry(t.Context(), "b"), events.StateCompleted)
	h.enqueue(client.Task{Name: "echo", ID: "c", Delay: time.Hour})
	h.refused(h.Retry(t.Context(), "c"), events.StateDelayed)
	if err := h.Cancel(t.Context(), "c", ""); err != nil {
		t.Fatal(err)
	}
	if err := h.Retry(t.Context(), "c"); err != nil {
		t.Error(err)
	}
	if o, err := h.Wait(t.Context(), "c"); err != nil || o.Task.State != events.StateCompleted {
		t.Errorf("the cancelled task, asked for again: %+v, %v", o, err)
	}
	if err := h.Retry(t.Context(), "nobody"); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestAPausedQueueWaitsUntilItIsResumed(t *testing.T) {
	h := build(t)
	h.work()
	if changed, err := h.Pause(t.Context(), "mail"); !changed || err != nil {
		t.Errorf("Pause = %v, %v", changed, err)
	}
	if changed, err := h.Pause(t.Context(), "mail"); changed || err != nil {
		t.Errorf("Pause of a paused queue = %v, %v", changed, err)
	}
	h.enqueue(client.Task{Name: "echo", ID: "a", Queue: "mail"})
	h.enqueue(client.Task{Name: "echo", ID: "b"})
	if _, err := h.Wait(t.Context(), "b"); err != nil { // by then it would have been the turn of a
		t.Fatal(err)
	}
	if got, err := h.Task(t.Context(), "a"); err != nil || got.State != events.StateWaiting {
		t.Errorf("while its queue is paused the task is %s, %v", got.State, err)
	}
	if changed, err := h.Resume(t.Context(), "mail"); !changed || err != nil {
		t.Errorf("Resume = %v, %v", changed, err)
	}
	if o, err := h.Wait(t.Context(), "a"); err != nil || o.Task.State != events.StateCompleted {
		t.Errorf("got %+v, %v", o, err)
	}
	if changed, err := h.Resume(t.Context(), "mail"); changed || err != nil {
		t.Errorf("Resume of a queue that is not paused = %v, %v", changed, err)
	}
}

func TestPauseRefusesNamesThatAreNone(t *testing.T) {
	h := build(t)
	for _, queue := range []string{"", "a{b}", "a\n"} {
		_, pause := h.Pause(t.Context(), queue)
		_, resume := h.Resume(t.Context(), queue)
		for _, err := range []error{pause, resume} {
			if wrong, ok := errors.AsType[*events.FieldError](err); !ok || wrong.Field != "queue" {
				t.Errorf("%q: got %v, want a FieldError for queue", queue, err)
			}
		}
	}
	if list := h.events(""); len(list) != 0 {
		t.Errorf("the log holds %v", list)
	}
}

func TestEveryCallEndsWithItsContextWhileRedisStandsStill(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	hasty := h.another(client.Options{Patience: 100 * time.Millisecond})
	h.redis.Pause()
	t.Cleanup(h.redis.Resume)
	bored := errors.New("bored")
	for name, call := range map[string]func(ctx context.Context) error{
		"Enqueue": func(ctx context.Context) error {
			r, err := h.Enqueue(ctx, client.Task{Name: "n"})
			if r.ID == "" {
				t.Error("Enqueue does not say which id to ask again with")
			}
			return err
		},
		"Task":   func(ctx context.Context) error { _, err := h.Task(ctx, "a"); return err },
		"Wait":   func(ctx context.Context) error { _, err := h.Wait(ctx, "a"); return err },
		"Cancel": func(ctx context.Context) error { return h.Cancel(ctx, "a", "") },
		"Retry":  func(ctx context.Context) error { return h.Retry(ctx, "a") },
		"Pause":  func(ctx context.Context) error { _, err := h.Pause(ctx, "q"); return err },
		"Resume": func(ctx context.Context) error { _, err := h.Resume(ctx, "q"); return err },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(bored) })
		began := time.Now()
		if err := call(ctx); !errors.Is(err, bored) {
			t.Errorf("%s: got %v, want the cause", name, err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s took %s and had 50ms", name, took)
		}
	}
	began := time.Now()
	if _, err := hasty.Enqueue(t.Context(), client.Task{Name: "n"}); !eventlog.Unavailable(err) {
		t.Errorf("Enqueue without patience: got %v, want an error that says that Redis is away", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Enqueue took %s, and the client has a patience of 100ms", took)
	}
}

func TestConnectSaysWhatIsWrong(t *testing.T) {
	h := build(t)
	if _, err := client.Connect(t.Context(), "http://127.0.0.1", client.Options{}); err == nil {
		t.Error("that is no URL of a Redis, and Connect does not say so")
	}
	wrong := client.Options{Log: eventlog.Config{Partitions: 3}}
	_, err := client.Connect(t.Context(), h.redis.URL(), wrong)
	if _, ok := errors.AsType[*eventlog.ErrPartitions](err); !ok {
		t.Errorf("got %v, want an ErrPartitions: the log has one", err)
	}
	h.redis.Set(t, "maxmemory-policy", "allkeys-lru")
	if _, err := client.Connect(t.Context(), h.redis.URL(), client.Options{}); err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("got %v, want what the policy of Redis should be", err)
	}
	h.redis.Kill()
	if _, err := client.Connect(t.Context(), h.redis.URL(), client.Options{Patience: time.Millisecond}); !eventlog.Unavailable(err) {
		t.Errorf("got %v, want an error that says that Redis is away", err)
	}
}

func TestConnectWaitsForARedisThatComesLaterAsLongAsItsPatience(t *testing.T) {
	h := build(t)
	h.redis.Kill()
	var missed sync.WaitGroup
	missed.Go(func() {
		h.redis.Missed(t)
		h.redis.Restart(t)
	})
	c := h.another(client.Options{Patience: time.Minute})
	missed.Wait()
	if _, err := c.Pause(t.Context(), "q"); err != nil {
		t.Error(err)
	}
}

func TestAClientThatIsNotAskedAsksNothing(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	w := h.waits(t.Context(), "a")
	if err := h.Cancel(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.end(t); err != nil {
		t.Fatal(err)
	}
	calls := func() int64 {
		n, err := h.redis.Client().Do(t.Context(), "EVAL", `return redis.call('INFO', 'stats'):match('total_commands_processed:(%d+)')`, 0).Int64()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const asking = 2 // EVAL and the INFO in it
	var seen []int64
	for range 4 { // the reader ends with its last read, for which nobody waits any more
		before := calls()
		<-time.After(3 * time.Second) // it is the time itself that is measured
		n := calls() - before - asking
		if n == 0 {
			return
		}
		seen = append(seen, n)
	}
	t.Errorf("commands in 3 s, and in those that followed, by a client that nobody uses: %v", seen)
}
