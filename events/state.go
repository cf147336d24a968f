package events

import (
	"errors"
	"fmt"
	"slices"
)

// State is where a task stands.
type State string

// The states of a task. The zero State is that of a task that nobody asked for yet.
const (
	StateNone      State = ""
	StateDelayed   State = "delayed"   // until its due time
	StateWaiting   State = "waiting"   // for its turn
	StateDue       State = "due"       // handed to the workers
	StateActive    State = "active"    // a worker runs it
	StateRetrying  State = "retrying"  // until the time of its next attempt
	StateCompleted State = "completed" // final
	StateFailed    State = "failed"    // final; a retry can be asked for
	StateCancelled State = "cancelled" // final; a retry can be asked for
)

// States lists the states in the order of a task's life.
var States = []State{
	StateDelayed, StateWaiting, StateDue, StateActive,
	StateRetrying, StateCompleted, StateFailed, StateCancelled,
}

// Final reports whether the task is over: nothing follows but TaskRetryRequested.
func (s State) Final() bool {
	return s == StateCompleted || s == StateFailed || s == StateCancelled
}

// Transitions is the whole truth about legal order: the states in which each event may be
// appended. The state that follows is Next.
var Transitions = map[Type][]State{
	TypeTaskRequested:      {StateNone},
	TypeTaskDue:            {StateDelayed, StateWaiting, StateRetrying},
	TypeTaskStarted:        {StateDue},
	TypeTaskCompleted:      {StateActive},
	TypeTaskFailed:         {StateActive},
	TypeTaskReleased:       {StateDue, StateActive},
	TypeTaskCancelled:      {StateDelayed, StateWaiting, StateDue, StateActive, StateRetrying},
	TypeTaskRetryRequested: {StateFailed, StateCancelled},
}

// Next returns the state that an event leads to. Together with a From that the event carries it
// lets a projection count without remembering. Events about queues lead to StateNone.
func Next(d Data) State {
	switch d := d.(type) {
	case TaskRequested:
		if d.DelayMs > 0 {
			return StateDelayed
		}
		return StateWaiting
	case TaskDue:
		return StateDue
	case TaskStarted:
		return StateActive
	case TaskCompleted:
		return StateCompleted
	case TaskFailed:
		if d.RetryAt > 0 {
			return StateRetrying
		}
		return StateFailed
	case TaskReleased:
		if d.RetryAt > 0 {
			return StateRetrying
		}
		return StateWaiting
	case TaskCancelled:
		return StateCancelled
	case TaskRetryRequested:
		return StateWaiting
	case QueuePaused, QueueResumed:
		return StateNone
	}
	return StateNone
}

// From returns the state that an event left, as the event itself tells it.
func From(d Data) State {
	switch d := d.(type) {
	case TaskRequested, QueuePaused, QueueResumed:
		return StateNone
	case TaskDue:
		return d.From
	case TaskStarted:
		return StateDue
	case TaskCompleted, TaskFailed:
		return StateActive
	case TaskReleased:
		return d.From
	case TaskCancelled:
		return d.From
	case TaskRetryRequested:
		return d.From
	}
	return StateNone
}

// Task is a task as its events tell it. The zero Task is one that nobody asked for yet.
type Task struct {
	ID    string
	State State
	Label
	Definition
	DueAt int64 // ms: when it becomes, or became, due the last time

	// Attempt is the number of the last attempt that started. It only grows: it is the fencing
	// token. Uncounted is how many of these do not count against MaxAttempts: the released ones,
	// and all before a requested retry.
	// Invariant: 0 <= Uncounted <= Attempt, Attempt-Uncounted <= MaxAttempts.
	Attempt   int
	Uncounted int
	Token     string // of the last attempt; see ReleasedToken, and empty when the attempt was abandoned or cancelled
	Worker    string // of the last attempt
	RetryID   string // requestId of the last requested retry

	Events []ID // every event of the task, in order
}

// ReleasedToken is what a task keeps of the token of an attempt that was given back: it fences
// that attempt, and still tells a repeated release from a foreign one.
func ReleasedToken(token string) string { return "released " + token }

// Attempts returns how many attempts count against MaxAttempts.
func (t Task) Attempts() int { return t.Attempt - t.Uncounted }

// Anew returns the task that e is to be held against: t, or the zero Task when e begins another life. Some days
// after a task's end its row is gone, and then its id may be asked for again. What was before is no part of
// the new life: not its attempts, not its events.
func (t Task) Anew(e Event) Task {
	if _, requested := e.Data.(TaskRequested); requested && t.State.Final() {
		return Task{}
	}
	return t
}

// ErrIllegal reports an event that cannot follow a task's state. In a log that our scripts wrote
// it does not occur: `tasklog verify` looks for it.
var ErrIllegal = errors.New("illegal event")

// Evolve returns the task as it is after e, or ErrIllegal if e cannot follow t.
// It is the whole truth about legal order within one life of a task: the scripts enforce its table. Whoever
// folds a log that may have several takes t.Anew(e).
func (t Task) Evolve(e Event) (Task, error) {
	if e.Data == nil {
		return t, fmt.Errorf("%w: %s has no body", ErrIllegal, e.ID)
	}
	if !slices.Contains(Transitions[e.Data.Type()], t.State) {
		return t, illegal(t, e, "not from this state")
	}
	if t.State != StateNone && From(e.Data) != t.State {
		return t, illegal(t, e, fmt.Sprintf("it claims to leave %s", stateName(From(e.Data))))
	}
	if t.State != StateNone && e.Task != t.ID {
		return t, illegal(t, e, fmt.Sprintf("it is not about task %s", t.ID))
	}
	if n := len(t.Events); n > 0 && e.ID.Compare(t.Events[n-1]) <= 0 {
		return t, illegal(t, e, fmt.Sprintf("it does not lie after %s", t.Events[n-1]))
	}
	next := t
	next.State = Next(e.Data)
	next.Events = append(slices.Clip(t.Events), e.ID)
	switch d := e.Data.(type) {
	case TaskRequested:
		if d.MaxAttempts < 1 {
			return t, illegal(t, e, fmt.Sprintf("maxAttempts %d allows none", d.MaxAttempts))
		}
		next.ID, next.Label, next.Definition, next.DueAt = e.Task, d.Label, d.Definition, d.DueAt
	case TaskDue:
		if d.Attempt != t.Attempt+1 {
			return t, illegal(t, e, fmt.Sprintf("attempt %d does not follow %d", d.Attempt, t.Attempt))
		}
		if e.ID.Ms < t.DueAt {
			return t, illegal(t, e, fmt.Sprintf("%d ms early", t.DueAt-e.ID.Ms))
		}
	case TaskStarted:
		if d.Attempt != t.Attempt+1 {
			return t, illegal(t, e, fmt.Sprintf("attempt %d does not follow %d", d.Attempt, t.Attempt))
		}
		next.Attempt, next.Token, next.Worker = d.Attempt, d.Token, d.Worker
	case TaskCompleted:
		if err := t.holds(e, d.Attempt, d.Worker); err != nil {
			return t, err
		}
	case TaskFailed:
		worker := d.Worker
		if d.Reason == ReasonAbandoned {
			worker = t.Worker // the sweeper speaks for a worker that is silent
		}
		if err := t.holds(e, d.Attempt, worker); err != nil {
			return t, err
		}
		if d.Reason == ReasonAbandoned {
			next.Token = ""
		}
		if d.RetryAt > 0 {
			if t.Attempts() >= t.MaxAttempts {
				return t, illegal(t, e, "a retry, but no attempt is left")
			}
			next.DueAt = d.RetryAt
		}
	case TaskReleased:
		if d.From == StateActive {
			if err := t.holds(e, d.Attempt, d.Worker); err != nil {
				return t, err
			}
			next.Uncounted, next.Token = t.Uncounted+1, ReleasedToken(t.Token)
		} else if d.Attempt != t.Attempt+1 {
			return t, illegal(t, e, fmt.Sprintf("attempt %d is not the one that is due", d.Attempt))
		}
		if next.DueAt = e.ID.Ms; d.RetryAt > 0 {
			next.DueAt = d.RetryAt
		}
	case TaskRetryRequested:
		next.Uncounted, next.DueAt, next.RetryID = t.Attempt, e.ID.Ms, d.RequestID
	case TaskCancelled:
		if d.From == StateActive {
			next.Token = ""
		}
	case QueuePaused, QueueResumed:
	}
	return next, nil
}

// holds says whether attempt and worker are those that run the task.
func (t Task) holds(e Event, attempt int, worker string) error {
	if attempt != t.Attempt || worker != t.Worker {
		return illegal(t, e, fmt.Sprintf("attempt %d of %s runs", t.Attempt, t.Worker))
	}
	return nil
}

func illegal(t Task, e Event, why string) error {
	return fmt.Errorf("%w: %s %s after %s of task %s: %s", ErrIllegal, e.Data.Type(), e.ID, stateName(t.State), e.Task, why)
}

func stateName(s State) State {
	if s == StateNone {
		return "nothing"
	}
	return s
}
