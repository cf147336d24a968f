package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/client"
)

// A waiter is a Wait that runs.
type waiter struct {
	outcome client.Outcome
	err     error
	over    chan struct{}
}

// waits begins to wait for a task.
func (h *house) waits(ctx context.Context, task string) *waiter {
	w := &waiter{over: make(chan struct{})}
	go func() {
		defer close(w.over)
		w.outcome, w.err = h.Wait(ctx, task)
	}()
	h.Cleanup(func() { <-w.over })
	return w
}

// end returns when a wait is over, and how.
func (w *waiter) end(t *testing.T) (client.Outcome, error) {
	t.Helper()
	select {
	case <-w.over:
		return w.outcome, w.err
	case <-time.After(20 * time.Second):
		t.Fatal("the wait does not end")
		return client.Outcome{}, nil
	}
}

// readers is how many connections wait for the log to grow.
func (h *house) readers() int {
	h.Helper()
	list, err := h.redis.Client().ClientList(h.Context()).Result()
	if err != nil {
		h.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(list) {
		if strings.Contains(line, " cmd=xread ") && strings.Contains(line, " flags=b ") {
			n++
		}
	}
	return n
}

func TestWaitTellsHowATaskEnded(t *testing.T) {
	h := build(t)
	h.work()
	for name, tt := range map[string]struct {
		task   client.Task
		cancel bool
		state  events.State
		result string
		says   string
		reason events.Reason
	}{
		"completed":                  {task: client.Task{Name: "echo", Payload: []int{1}, Delay: 300 * time.Millisecond}, state: events.StateCompleted, result: "[1]"},
		"completed without a result": {task: client.Task{Name: "echo"}, state: events.StateCompleted},
		"failed":                     {task: client.Task{Name: "reject"}, state: events.StateFailed, says: "no", reason: events.ReasonRejected},
		"cancelled before its time":  {task: client.Task{Name: "echo", Delay: time.Hour}, cancel: true, state: events.StateCancelled, says: "not needed"},
		"cancelled while it runs":    {task: client.Task{Name: "hold"}, cancel: true, state: events.StateCancelled, says: "not needed"},
	} {
		h.enqueue(func() client.Task { tt.task.ID = name; return tt.task }())
		w := h.waits(t.Context(), name)
		if tt.task.Name == "hold" {
			h.is(name, events.StateActive)
		}
		if tt.cancel {
			if err := h.Cancel(t.Context(), name, "not needed"); err != nil {
				t.Error(err)
			}
		}
		o, err := w.end(t)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if o.Task.ID != name || o.Task.State != tt.state || string(o.Result) != tt.result || o.Error != tt.says || o.Reason != tt.reason {
			t.Errorf("%s: got %+v", name, o)
		}
		if list := h.events(name); o.Event != list[len(list)-1].ID {
			t.Errorf("%s: the final event is %s, want %s", name, o.Event, list[len(list)-1].ID)
		}
		again, err := h.Wait(t.Context(), name)
		if err != nil || again.Event != o.Event || string(again.Result) != tt.result {
			t.Errorf("%s: a wait for a task that is over: %+v, %v", name, again, err)
		}
	}
}

func TestWaitRefusesATaskThatNobodyAskedFor(t *testing.T) {
	h := build(t)
	if _, err := h.Wait(t.Context(), "a"); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestWaitEndsWithItsContextAndSaysWhy(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	bored := errors.New("bored")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := h.waits(ctx, "a")
	h.until("it waits", func() bool { return h.readers() == 1 })
	cancel(bored)
	if _, err := w.end(t); !errors.Is(err, bored) {
		t.Errorf("got %v, want the cause", err)
	}
	h.until("nobody reads for nobody", func() bool { return h.readers() == 0 })
}

func TestCloseEndsEveryWait(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	var waits []*waiter
	for range 10 {
		waits = append(waits, h.waits(t.Context(), "a"))
	}
	h.until("they wait", func() bool { return h.readers() == 1 })
	began := time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > eventlog.MaxBlock+time.Second {
		t.Errorf("Close took %s", took)
	}
	for _, w := range waits {
		if _, err := w.end(t); !errors.Is(err, client.ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
	if _, err := h.Wait(t.Context(), "a"); !errors.Is(err, client.ErrClosed) {
		t.Errorf("a wait after Close: %v, want ErrClosed", err)
	}
}

func TestWaitsThatBeginWhileTheClientClosesEndToo(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	for range 20 {
		c := client.New(h.log, client.Options{})
		var waiting sync.WaitGroup
		for range 8 {
			waiting.Go(func() {
				if _, err := c.Wait(t.Context(), "a"); !errors.Is(err, client.ErrClosed) {
					t.Errorf("got %v, want ErrClosed", err)
				}
			})
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		waiting.Wait()
	}
}

func TestManyWaitsShareOneReader(t *testing.T) {
	h := build(t)
	const n = 100
	waits := map[string][]*waiter{}
	for i := range n {
		id := fmt.Sprint("t", i)
		h.enqueue(client.Task{Name: "n", ID: id, Delay: time.Hour})
		for range 3 {
			waits[id] = append(waits[id], h.waits(t.Context(), id))
		}
	}
	h.until("somebody reads", func() bool { return h.readers() > 0 })
	if readers := h.readers(); readers != 1 {
		t.Errorf("%d connections read for %d waits", readers, 3*n)
	}
	for id := range waits {
		if err := h.Cancel(t.Context(), id, id); err != nil {
			t.Fatal(err)
		}
	}
	for id, list := range waits {
		for _, w := range list {
			if o, err := w.end(t); err != nil || o.Error != id {
				t.Errorf("task %s: %+v, %v", id, o, err)
			}
		}
	}
}

func TestWaitOutlastsARestartOfRedis(t *testing.T) {
	h := build(t, "--appendonly", "yes", "--appendfsync", "always")
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	w := h.waits(t.Context(), "a")
	h.until("it waits", func() bool { return h.readers() == 1 })
	h.redis.Kill()
	h.redis.Restart(t)
	other := h.another(client.Options{}) // what it does may come before the wait is back
	if err := other.Cancel(t.Context(), "a", "r"); err != nil {
		t.Fatal(err)
	}
	if o, err := w.end(t); err != nil || o.Error != "r" {
		t.Errorf("got %+v, %v", o, err)
	}
}

// A cutter loses the answers of some commands.
type cutter struct {
	name string
	left atomic.Int64 // how many it will lose
}

func (*cutter) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *cutter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == c.name && c.left.Add(-1) >= 0 {
			cmd.SetErr(io.EOF)
			return io.EOF
		}
		return next(ctx, cmd)
	}
}

func (*cutter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestALookThatFailedIsTakenAgain(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	cut := &cutter{name: "hgetall"}
	h.log.Conn().View.AddHook(cut)
	c := client.New(h.log, client.Options{})
	t.Cleanup(func() { _ = c.Close() }) // it opened nothing
	w := (&house{T: t, Client: c}).waits(t.Context(), "a")
	h.until("it waits", func() bool { return h.readers() == 1 })
	cut.left.Store(2)
	if err := h.Cancel(t.Context(), "a", "r"); err != nil {
		t.Fatal(err)
	}
	if o, err := w.end(t); err != nil || o.Error != "r" {
		t.Errorf("got %+v, %v", o, err)
	}
	if cut.left.Load() > 0 {
		t.Error("no look failed")
	}
}

func TestWaitRefusesWhenRedisIsAwayFromTheStart(t *testing.T) {
	h := build(t)
	h.redis.Kill()
	if _, err := h.Wait(t.Context(), "a"); !eventlog.Unavailable(err) {
		t.Errorf("got %v, want an error that says that Redis is away", err)
	}
}

func TestAWaitDoesNotHoldUpAnotherWhileRedisStandsStill(t *testing.T) {
	h := build(t)
	h.enqueue(client.Task{Name: "n", ID: "a", Delay: time.Hour})
	h.redis.Pause()
	t.Cleanup(h.redis.Resume)
	patient := h.waits(t.Context(), "a")
	<-time.After(50 * time.Millisecond) // it hangs in Redis, where nothing shows that
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := h.waits(ctx, "a").end(t); err == nil {
		t.Error("it ended without an error")
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Errorf("a wait of 200 ms took %s", took)
	}
	if _, err := patient.end(t); err == nil {
		t.Error("Redis was away, and Wait says nothing")
	}
}
