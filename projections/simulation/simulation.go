// Package simulation makes up logs: random but legal histories of tasks, for whoever wants to fold
// something without a Redis. The same seed gives the same history.
package simulation

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/tasklog/tasklog/events"
)

// Config says what kind of history. Zero fields mean what is said there.
type Config struct {
	Seed    uint64
	Events  int   // 1000
	Queues  int   // 3
	Workers int   // 4
	Open    int   // tasks that are under way at once, at the most; 20
	StepMs  int64 // the longest time between two events; 50
	// NoOperators leaves out what people do: cancel, retry, pause.
	NoOperators bool
}

func (c Config) withDefaults() Config {
	for _, f := range []struct {
		v    *int
		zero int
	}{{&c.Events, 1000}, {&c.Queues, 3}, {&c.Workers, 4}, {&c.Open, 20}} {
		if *f.v == 0 {
			*f.v = f.zero
		}
	}
	if c.StepMs == 0 {
		c.StepMs = 50
	}
	return c
}

// History is what happened, and how it left every task.
type History struct {
	Events []events.Event
	Tasks  map[string]events.Task
	Paused map[string]bool // queues
}

// start is when every history begins, ms.
const start = 1_764_000_000_000

// Make makes up a history.
func Make(c Config) History {
	c = c.withDefaults()
	s := &simulation{
		cfg: c, dice: rand.New(rand.NewPCG(c.Seed, 0)), at: events.ID{Ms: start},
		History: History{Tasks: map[string]events.Task{}, Paused: map[string]bool{}},
	}
	for len(s.Events) < c.Events {
		s.step()
	}
	return s.History
}

// After implements projections.Source.
func (h History) After(ctx context.Context, checkpoint events.ID) iter.Seq2[events.Event, error] {
	return func(yield func(events.Event, error) bool) {
		from, _ := slices.BinarySearchFunc(h.Events, checkpoint, func(e events.Event, id events.ID) int {
			if e.ID.Compare(id) <= 0 {
				return -1
			}
			return 1
		})
		for _, e := range h.Events[from:] {
			if err := ctx.Err(); err != nil {
				yield(events.Event{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

type simulation struct {
	History
	cfg  Config
	dice *rand.Rand
	at   events.ID
	open []string // tasks that are not completed
}

// tick lets time pass until the next event.
func (s *simulation) tick() {
	if d := s.dice.Int64N(s.cfg.StepMs + 1); d > 0 {
		s.at = events.ID{Ms: s.at.Ms + d}
	} else {
		s.at.Seq++
	}
}

func latest(a, b events.ID) events.ID {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// step appends one event.
func (s *simulation) step() {
	s.tick()
	if !s.cfg.NoOperators && s.dice.IntN(50) == 0 {
		s.pause(s.label().Queue)
		return
	}
	if len(s.open) < s.cfg.Open && s.dice.IntN(4) == 0 || len(s.open) == 0 {
		s.request()
		return
	}
	i := s.dice.IntN(len(s.open))
	t := s.Tasks[s.open[i]]
	if s.Paused[t.Queue] && slices.Contains(events.Transitions[events.TypeTaskDue], t.State) {
		s.pause(t.Queue) // else nothing becomes due
		return
	}
	data := s.next(t)
	if data == nil { // failed or cancelled for ever
		s.open = slices.Delete(s.open, i, i+1)
		return
	}
	if s.append(t.ID, data); s.Tasks[t.ID].State == events.StateCompleted {
		s.open = slices.Delete(s.open, i, i+1)
	}
}

func (s *simulation) append(task string, d events.Data) {
	e := events.Event{ID: s.at, Task: task, Data: d}
	s.Events = append(s.Events, e)
	if task == "" {
		return
	}
	t, err := s.Tasks[task].Evolve(e)
	if err != nil {
		panic(fmt.Sprintf("the simulation is wrong: %v", err)) // of our making, not of data
	}
	s.Tasks[task] = t
}

func (s *simulation) label() events.Label {
	return events.Label{Queue: fmt.Sprintf("queue: %d", s.dice.IntN(s.cfg.Queues)), Name: "test"}
}

// pause pauses a queue, or resumes it.
func (s *simulation) pause(queue string) {
	l := events.Label{Queue: queue}
	if s.Paused[l.Queue] {
		s.append("", events.QueueResumed{Label: l, By: "simulation"})
	} else {
		s.append("", events.QueuePaused{Label: l, By: "simulation"})
	}
	s.Paused[l.Queue] = !s.Paused[l.Queue]
}

func (s *simulation) request() {
	id := fmt.Sprintf("task-%d", len(s.Tasks))
	d := events.TaskRequested{Label: s.label(), DueAt: s.at.Ms}
	d.MaxAttempts, d.Priority = 1+s.dice.IntN(3), s.dice.IntN(3)
	d.Backoff = events.Backoff{DelayMs: 1 + s.dice.Int64N(200)}
	d.Backoff.Type = []string{"", events.BackoffFixed, events.BackoffExponential}[s.dice.IntN(3)]
	if s.dice.IntN(2) == 0 {
		d.Backoff.Jitter = new(s.dice.Float64())
	}
	if s.dice.IntN(3) == 0 {
		d.DelayMs = 1 + s.dice.Int64N(100)
		d.DueAt += d.DelayMs
	}
	s.append(id, d)
	s.open = append(s.open, id)
}

// next makes up what happens to a task next; nil when nothing does.
func (s *simulation) next(t events.Task) events.Data {
	l := t.Label
	roll := s.dice.IntN(20)
	if !s.cfg.NoOperators && roll == 0 && !t.State.Final() {
		return events.TaskCancelled{Label: l, By: "simulation", From: t.State}
	}
	switch t.State {
	case events.StateDelayed, events.StateWaiting, events.StateRetrying:
		s.at = latest(s.at, events.ID{Ms: t.DueAt})
		return events.TaskDue{Label: l, Attempt: t.Attempt + 1, Priority: t.Priority, DueAt: t.DueAt, From: t.State}
	case events.StateDue:
		worker := fmt.Sprintf("worker-%d", s.dice.IntN(s.cfg.Workers))
		if roll == 1 {
			return events.TaskReleased{Label: l, Attempt: t.Attempt + 1, Worker: worker, Reason: events.ReasonNoHandler, From: t.State, RetryAt: s.at.Ms + 5}
		}
		return events.TaskStarted{Label: l, Attempt: t.Attempt + 1, Worker: worker, Token: fmt.Sprintf("token-%d", len(s.Events)), WaitMs: s.at.Ms - t.DueAt}
	case events.StateActive:
		return s.end(t, roll)
	case events.StateFailed, events.StateCancelled:
		if !s.cfg.NoOperators && roll < 10 {
			return events.TaskRetryRequested{Label: l, By: "simulation", RequestID: fmt.Sprintf("retry-%d", len(s.Events)), From: t.State}
		}
	case events.StateNone, events.StateCompleted:
	}
	return nil
}

// end ends an attempt.
func (s *simulation) end(t events.Task, roll int) events.Data {
	run := s.at.Ms - t.Events[len(t.Events)-1].Ms
	switch {
	case roll < 12:
		return events.TaskCompleted{Label: t.Label, Attempt: t.Attempt, Worker: t.Worker, RunMs: run}
	case roll == 12:
		return events.TaskReleased{Label: t.Label, Attempt: t.Attempt, Worker: t.Worker, Reason: events.ReasonShutdown, From: t.State}
	}
	failed := events.TaskFailed{Label: t.Label, Attempt: t.Attempt, Worker: t.Worker, RunMs: run, Error: "no"}
	failed.Reason = []events.Reason{
		events.ReasonError, events.ReasonAbandoned, events.ReasonAbandoned, events.ReasonAbandoned,
		events.ReasonPanic, events.ReasonTimeout, events.ReasonRejected,
	}[roll-13]
	if t.Attempts() < t.MaxAttempts && failed.Reason != events.ReasonRejected {
		failed.RetryAt = s.at.Ms + t.Backoff.Delay(t.Attempts(), s.dice.Float64()).Milliseconds()
	}
	return failed
}
