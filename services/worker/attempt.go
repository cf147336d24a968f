package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/lock"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/services/worker/internal/verdict"
)

// The metadata of the message that a middleware sees.
const (
	MetaName        = "name"
	MetaQueue       = "queue"
	MetaAttempt     = "attempt"
	MetaTraceparent = "traceparent"
)

// delivery is a dispatch entry on its way through the router. It belongs to one goroutine.
type delivery struct {
	eventlog.Dispatch
	part     eventlog.Partition
	stopping <-chan struct{} // closed when the worker takes no more
	free     func()          // frees the slot for another entry, once
	done     func()          // nothing more is to be done

	run     *run // once started
	started eventlog.Started
	result  any // of the handler's last call
}

type deliveryKey struct{}

func deliveryOf(msg *message.Message) *delivery {
	d, _ := msg.Context().Value(deliveryKey{}).(*delivery)
	return d
}

// record is the outermost middleware: it leads an attempt from its dispatch entry to its end.
func (w *Worker) record(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		d := deliveryOf(msg)
		defer d.done()
		defer d.free()
		select {
		case w.running <- struct{}{}:
			defer func() { <-w.running }()
		case <-d.stopping: // begin gives it back
		}
		life := msg.Context()
		mutex := w.begin(life, d)
		if mutex == nil {
			return nil, nil
		}
		ctx, cancel := context.WithCancelCause(life)
		defer cancel(nil)
		d.run = &run{attempt: w.held(d, mutex.Token), name: d.started.Name, cancel: cancel, since: time.Now()}
		timeout := w.cfg.DefaultTimeout
		if d.started.TimeoutMs > 0 {
			timeout = time.Duration(d.started.TimeoutMs) * time.Millisecond
		}
		if timeout > 0 {
			d.run.until = time.Now().Add(timeout)
			bounded, stop := context.WithDeadlineCause(ctx, d.run.until, ErrTimeout)
			defer stop()
			ctx = bounded
		}
		w.runs.add(d.run)
		w.metrics.running.Inc()
		defer func() {
			w.metrics.running.Dec()
			w.runs.remove(d.run)
		}()
		msg.SetContext(ctx)
		msg.Payload = message.Payload(d.started.Payload)
		msg.Metadata.Set(MetaName, d.started.Name)
		msg.Metadata.Set(MetaQueue, d.started.Queue)
		msg.Metadata.Set(MetaAttempt, strconv.Itoa(d.Attempt))
		if d.started.Traceparent != "" {
			msg.Metadata.Set(MetaTraceparent, d.started.Traceparent)
		}
		verdict.Protect(
			func() error {
				_, err := next(msg)
				return err
			},
			func(err error) {
				cause := context.Cause(ctx)
				if !errors.Is(cause, ErrTimeout) {
					timeout = 0
				}
				d.free() // the next entry is taken while Redis hears of this end, and started after that
				w.end(life, d, mutex, err, cause, timeout)
			})
		return nil, nil
	}
}

// handle is the innermost handler: that of the user.
func (w *Worker) handle(msg *message.Message) error {
	d := deliveryOf(msg)
	s := d.started
	result, err := w.handlers.find(s.Name)(msg.Context(), Task[json.RawMessage]{
		ID: d.Task, Name: s.Name, Queue: s.Queue, Priority: s.Priority, Payload: json.RawMessage(msg.Payload),
		DueAt: time.UnixMilli(s.DueAt).UTC(), Attempt: d.Attempt, Attempts: s.Attempts, MaxAttempts: s.MaxAttempts,
		Traceparent: s.Traceparent,
	})
	d.result = result
	return err
}

// begin locks and starts the attempt. It returns nil when there is nothing to run: then the entry is
// settled, or left for a claim.
func (w *Worker) begin(ctx context.Context, d *delivery) *lock.Mutex {
	select {
	case <-d.stopping:
		w.release(ctx, d, w.attempt(d, ""), events.ReasonShutdown, nil)
		return nil
	default:
	}
	if !w.handlers.total() && d.Name != "" && w.handlers.find(d.Name) == nil {
		w.unhandled(ctx, d, w.attempt(d, ""))
		return nil
	}
	// Taking the mutex and starting is one step: no worker holds one for what it has not started.
	mutex, err := w.locks.LockWith(ctx, d.part.Lock(d.Task), func(token string) (bool, error) {
		var err error
		d.started, err = w.start(ctx, d, token)
		if errors.Is(err, eventlog.ErrLocked) {
			return false, nil
		}
		return err == nil, err
	})
	switch {
	case err == nil:
		crashpoint.Hit(crashpoint.WorkerAfterStart)
		if w.handlers.find(d.started.Name) == nil { // its entry did not say its name
			w.unhandled(ctx, d, w.held(d, mutex.Token))
			return nil
		}
		return mutex
	case errors.Is(err, lock.ErrTaken):
		w.metrics.unlocked.Inc()
		return nil
	case errors.Is(err, eventlog.ErrFenced):
		// Or it was started with this very token, unheard, and abandoned since.
		w.metrics.stale.Inc()
		w.slog.LogAttrs(ctx, slog.LevelInfo, "an entry is out of date: it is dropped", slog.Any("error", err))
	case eventlog.Refuses(err):
		w.slog.LogAttrs(ctx, slog.LevelWarn, "redis takes no writes: an entry is left for later", slog.Any("error", err))
	default:
		// It may be started, with this token: then its lease ends and it is abandoned.
		w.slog.LogAttrs(ctx, slog.LevelError, "an attempt could not be started", slog.Any("error", err))
	}
	if mutex != nil {
		w.unlock(ctx, mutex)
	}
	return nil
}

// attempt is one that is not started: its entry lies in the dispatch stream.
func (w *Worker) attempt(d *delivery, token string) eventlog.Attempt {
	return eventlog.Attempt{Task: d.Task, Queue: d.Queue, Number: d.Attempt, Token: token, Worker: w.cfg.ID, Entry: d.Entry}
}

// held is the attempt once it is started: its entry is gone.
func (w *Worker) held(d *delivery, token string) eventlog.Attempt {
	a := w.attempt(d, token)
	a.Entry = events.ID{}
	return a
}

// start takes the mutex and appends TaskStarted. While Redis does not answer, and the worker is to take more, it asks
// again, for almost as long as the lease of an attempt that was started unheard may live.
func (w *Worker) start(ctx context.Context, d *delivery, token string) (s eventlog.Started, err error) {
	patience, stop := context.WithTimeout(ctx, w.cfg.LeaseTTL*9/10)
	defer stop()
	err = w.persist(patience, func() (err error) {
		s, err = w.log.Start(ctx, w.attempt(d, token), w.cfg.LeaseTTL)
		select {
		case <-d.stopping:
			stop()
		default:
			if eventlog.Refuses(err) {
				stop()
			}
		}
		return err
	})
	return s, err
}

// end records how an attempt ended. cause is why its context ended, if it did; timeout is the time
// that it had, if that is over.
func (w *Worker) end(ctx context.Context, d *delivery, mutex *lock.Mutex, err, cause error, timeout time.Duration) {
	d.run.ending.Store(true)
	took := time.Since(d.run.since)
	switch {
	case errors.Is(cause, ErrCancelled):
		w.unlock(ctx, mutex) // cancelling left it, so that nothing starts beside this attempt
		w.metrics.ended(outcomeCancelled, took)
		return
	case errors.Is(cause, ErrLeaseLost):
		w.unlock(ctx, mutex)
		w.metrics.ended(outcomeLost, took)
		return
	case errors.Is(cause, ErrShutdown) && err != nil:
		brief, stop := context.WithTimeout(ctx, letGo)
		defer stop()
		w.giveBack(brief, d.run)
		w.metrics.ended(outcomeReleased, took)
		return
	}
	v := verdict.Of(d.result, err, timeout)
	retry := v.Retry(d.started.Definition, d.started.Attempts, rand.Float64())
	finish := func() error {
		if v.Reason == "" {
			_, err := w.log.Complete(ctx, d.run.attempt, took, v.Result)
			return err
		}
		_, err := w.log.Fail(ctx, d.run.attempt, took, v.Reason, v.Error, retry)
		return err
	}
	crashpoint.Hit(crashpoint.WorkerBeforeFinish)
	switch err := w.persist(ctx, finish); {
	case err == nil:
		crashpoint.Hit(crashpoint.WorkerAfterFinish)
		w.metrics.ended(outcomeOf(v, retry), took)
	case errors.Is(err, eventlog.ErrFenced):
		w.unlock(ctx, mutex)
		if fencedBy(err) == events.StateCancelled {
			w.metrics.ended(outcomeCancelled, took)
			return
		}
		w.metrics.ended(outcomeLost, took)
		w.slog.LogAttrs(ctx, slog.LevelWarn, "an attempt lost its lease: how it ended is not recorded", slog.Any("error", err))
	default:
		w.metrics.ended(outcomeLost, took)
		w.slog.LogAttrs(ctx, slog.LevelError, "how an attempt ended could not be recorded", slog.Any("error", err))
	}
}

func outcomeOf(v verdict.Verdict, retry *time.Duration) string {
	switch {
	case v.Reason == "":
		return outcomeCompleted
	case retry != nil:
		return outcomeRetrying
	}
	return outcomeFailed
}

// persist asks until Redis has answered or ctx has ended: what a handler did is not thrown away because
// Redis is away.
func (w *Worker) persist(ctx context.Context, decide func() error) error {
	for try := 0; ; try++ {
		err := decide()
		if err == nil || !eventlog.Unavailable(err) || ctx.Err() != nil {
			return err
		}
		w.slog.LogAttrs(ctx, slog.LevelWarn, "redis does not answer: an attempt waits for it", slog.Any("error", err))
		pause.For(ctx, min(time.Second, 50*time.Millisecond<<min(try, 5)))
	}
}

// giveBack releases an attempt that runs, for another worker to start at once. It tries until ctx ends.
func (w *Worker) giveBack(ctx context.Context, r *run) {
	err := w.persist(ctx, func() error {
		_, err := w.log.Release(ctx, r.attempt, events.ReasonShutdown, nil)
		return err
	})
	if err != nil && !errors.Is(err, eventlog.ErrFenced) {
		w.slog.LogAttrs(ctx, slog.LevelWarn, "a task could not be given back: it is abandoned when its lease ends", slog.Any("error", err))
	}
}

// release gives back a task that has not begun to run. One that cannot be is claimed by another worker.
func (w *Worker) release(ctx context.Context, d *delivery, a eventlog.Attempt, reason events.Reason, retry *time.Duration) {
	if _, err := w.log.Release(ctx, a, reason, retry); err != nil && !errors.Is(err, eventlog.ErrFenced) {
		w.slog.LogAttrs(ctx, slog.LevelWarn, "a task could not be given back: it is claimed by another worker",
			slog.String("task", d.Task), slog.Any("error", err))
	}
}

// unhandled gives back a task that has no handler here.
func (w *Worker) unhandled(ctx context.Context, d *delivery, a eventlog.Attempt) {
	task, _ := w.log.Task(ctx, d.Task) // where that fails, it waits as at the first time
	wait := verdict.Unhandled(task, rand.Float64())
	w.slog.LogAttrs(ctx, slog.LevelWarn, "no handler here: the task is given back",
		slog.String("task", d.Task), slog.String("name", d.Name), slog.Duration("for", wait))
	w.release(ctx, d, a, events.ReasonNoHandler, &wait)
}

func (w *Worker) unlock(ctx context.Context, m *lock.Mutex) {
	if err := m.Unlock(ctx); err != nil {
		w.slog.LogAttrs(ctx, slog.LevelWarn, "a mutex could not be released: it ends by itself", slog.Any("error", err))
	}
}

// fencedBy returns the state of the row that fenced an attempt.
func fencedBy(err error) events.State {
	if f, ok := errors.AsType[*eventlog.FencedError](err); ok {
		return f.State
	}
	return events.StateNone
}
