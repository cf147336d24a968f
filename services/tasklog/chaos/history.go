package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/pause"
)

// history is what the log tells, read by no code of the services but the decoder of entries.
type history struct {
	checkpoint  map[string]string // by stream
	tasks       map[string]*life
	undecodable int
}

// life is a task as its events tell it.
type life struct {
	list   []events.Event
	folded events.Task
	wrong  []string // what must not be
}

func newHistory() *history {
	return &history{checkpoint: map[string]string{}, tasks: map[string]*life{}}
}

// decode reads an entry of the log.
func decode(m redis.XMessage) (events.Event, error) {
	return events.Decode(m.ID, func(field string) (string, bool) {
		v, ok := m.Values[field].(string)
		return v, ok
	})
}

// read adds what the log has more.
func (t *history) read(ctx context.Context, rdb *redis.Client, stream string) error {
	for {
		msgs, err := rdb.XRangeN(ctx, stream, cmp.Or(t.checkpoint[stream], "-"), "+", 1000).Result()
		if err != nil {
			return err
		}
		for _, m := range msgs {
			t.checkpoint[stream] = "(" + m.ID
			e, err := decode(m)
			if err != nil {
				t.undecodable++
				continue
			}
			t.add(e)
		}
		if len(msgs) == 0 {
			return nil
		}
	}
}

// add takes one event, and judges it twice: by the state machine, and by rules of its own.
func (t *history) add(e events.Event) {
	if e.Task == "" {
		return // about a queue
	}
	l := t.tasks[e.Task]
	if l == nil {
		l = &life{}
		t.tasks[e.Task] = l
	}
	next, err := l.folded.Evolve(e)
	if err != nil {
		l.wrong = append(l.wrong, err.Error())
	}
	l.folded = next
	l.list = append(l.list, e)
}

// settle reads the log until every task of the clients that it knows is final, for as long as patience.
func (h *house) settle(ctx context.Context, t *history, asked []asked) error {
	for deadline := time.Now().Add(patience); ; {
		for _, part := range h.log.Partitions() {
			if err := t.read(ctx, h.redis.rdb, part.Events); err != nil {
				return fmt.Errorf("read the log: %w", err)
			}
		}
		live := 0
		for _, a := range asked {
			if l := t.tasks[a.ID]; l != nil && !l.folded.State.Final() {
				live++
			}
		}
		if live == 0 || time.Now().After(deadline) {
			return ctx.Err() // judge says which are not final
		}
		pause.For(ctx, 100*time.Millisecond)
	}
}

// count returns how many events of a type a task has.
func (l *life) count(typ events.Type) (n int) {
	for _, e := range l.list {
		if e.Data.Type() == typ {
			n++
		}
	}
	return n
}

// errOrder is what check finds.
var errOrder = errors.New("against the rules")

// check holds a life to the promises that matter most, in other words than the state machine's: one
// request, one completion, nothing after an end but a retry, never two attempts at once, numbers without gaps.
func (l *life) check() error {
	var (
		running, ended bool
		attempt        int
	)
	for i, e := range l.list {
		say := func(what string) error { return fmt.Errorf("%w: %s %s: %s", errOrder, e.Data.Type(), e.ID, what) }
		if ended && e.Data.Type() != events.TypeTaskRetryRequested {
			return say("the task was over")
		}
		switch d := e.Data.(type) {
		case events.TaskRequested:
			if i > 0 {
				return say("it was requested before")
			}
		case events.TaskStarted:
			if running || d.Attempt != attempt+1 {
				return say(fmt.Sprintf("attempt %d after %d, running: %t", d.Attempt, attempt, running))
			}
			running, attempt = true, d.Attempt
		case events.TaskCompleted:
			if !running || d.Attempt != attempt {
				return say(fmt.Sprintf("attempt %d does not run", d.Attempt))
			}
			running, ended = false, true
		case events.TaskFailed:
			if !running || d.Attempt != attempt {
				return say(fmt.Sprintf("attempt %d does not run", d.Attempt))
			}
			running, ended = false, d.RetryAt == 0
		case events.TaskReleased:
			running = false
		case events.TaskCancelled:
			running, ended = false, true
		case events.TaskRetryRequested:
			if !ended {
				return say("the task was not over")
			}
			ended = false
		case events.TaskDue, events.QueuePaused, events.QueueResumed:
		}
		if i == 0 && e.Data.Type() != events.TypeTaskRequested {
			return say("nobody asked for it")
		}
	}
	return nil
}

// started returns whether an attempt started, and what ended it; nil when nothing did.
func (l *life) attempt(n int) (started bool, end *events.Event) {
	for i, e := range l.list {
		switch d := e.Data.(type) {
		case events.TaskStarted:
			started = started || d.Attempt == n
			continue
		case events.TaskCompleted, events.TaskFailed, events.TaskReleased, events.TaskCancelled:
		default:
			continue
		}
		if started {
			return true, &l.list[i]
		}
	}
	return started, nil
}

// final is the task's last completion or nil.
func (l *life) completed() *events.Event {
	i := slices.IndexFunc(l.list, func(e events.Event) bool { return e.Data.Type() == events.TypeTaskCompleted })
	if i < 0 {
		return nil
	}
	return &l.list[i]
}
