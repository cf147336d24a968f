// Package wire is the JSON that programs read: the answers of the HTTP API, which the command line
// prints with --json, too. Field names are those of a request where they mean the same; times are
// RFC 3339 in UTC with milliseconds.
package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
)

// Stamp writes a time in ms, and nothing for 0.
func Stamp(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(events.TimeLayout)
}

// Receipt is the answer to a request for a task. For a duplicate it tells of the first task.
type Receipt struct {
	TaskID    string       `json:"taskId"`
	Queue     string       `json:"queue"`
	State     events.State `json:"state"`
	DueAt     string       `json:"dueAt"`
	EventID   string       `json:"eventId"`
	Duplicate bool         `json:"duplicate"`
}

// Task is a task in lists and answers.
type Task struct {
	TaskID      string       `json:"taskId"`
	TaskName    string       `json:"taskName"`
	Queue       string       `json:"queue"`
	State       events.State `json:"state"`
	Priority    int          `json:"priority"`
	CreatedAt   string       `json:"createdAt,omitempty"`
	UpdatedAt   string       `json:"updatedAt,omitempty"` // of the newest event
	DueAt       string       `json:"dueAt"`
	Attempt     int          `json:"attempt"`               // number of the last attempt that started; 0: none
	Attempts    int          `json:"attempts"`              // how many count against maxAttempts
	MaxAttempts int          `json:"maxAttempts,omitempty"` // not told of completed tasks in lists
	Worker      string       `json:"worker,omitempty"`      // of the last attempt
	// Error is what the last attempt failed with, or why the task was cancelled. Lists tell it of failed and of
	// retrying tasks, in Brief.
	Error string `json:"error,omitempty"`
}

// TaskOf is a task as it is now.
func TaskOf(t events.Task) Task {
	v := Task{
		TaskID: t.ID, TaskName: t.Name, Queue: t.Queue, State: t.State, Priority: t.Priority, DueAt: Stamp(t.DueAt),
		Attempt: t.Attempt, Attempts: t.Attempts(), MaxAttempts: t.MaxAttempts, Worker: t.Worker,
	}
	if n := len(t.Events); n > 0 {
		v.CreatedAt, v.UpdatedAt = Stamp(t.Events[0].Ms), Stamp(t.Events[n-1].Ms)
	}
	return v
}

// TasksOf is TaskOf of a list, which is never null, with what went wrong with some of them, by id.
func TasksOf(list []events.Task, wrong map[string]string) []Task {
	out := make([]Task, len(list))
	for i, t := range list {
		out[i] = TaskOf(t)
		out[i].Error = Brief(wrong[t.ID])
	}
	return out
}

// maxBrief is how many characters of an error a list tells.
const maxBrief = 200

// Brief is an error as lists tell it: the first line, and not all of a long one.
func Brief(s string) string {
	line, _, more := strings.Cut(strings.TrimSpace(s), "\n")
	if r := []rune(line); len(r) > maxBrief {
		line, more = string(r[:maxBrief]), true
	}
	if more {
		return strings.TrimSpace(line) + "…"
	}
	return line
}

// Detail is all of one task. Of a completed one the log alone knows what it was asked for: when that event is gone,
// Payload, Backoff, MaxAttempts, TimeoutMs and Traceparent are left out.
type Detail struct {
	Task
	Payload     json.RawMessage `json:"payload,omitempty"` // null when there is none
	Backoff     *events.Backoff `json:"backoff,omitempty"`
	TimeoutMs   int64           `json:"timeoutMs,omitempty"`
	Traceparent string          `json:"traceparent,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`  // of a completed task
	Reason      events.Reason   `json:"reason,omitempty"`  // of the failure
	Events      []Event         `json:"events"`            // all that the log still holds, in order
	Trimmed     bool            `json:"trimmed,omitempty"` // events of it are in the log no more, nor in an archive that is attached
}

// DetailOf is a task with its history, of which so many events are gone.
func DetailOf(t events.Task, history []events.Event, gone int) (Detail, error) {
	d := Detail{
		Task: TaskOf(t), TimeoutMs: t.TimeoutMs, Traceparent: t.Traceparent,
		Events: make([]Event, 0, len(history)), Trimmed: gone > 0,
	}
	if Defined(t) {
		d.Backoff, d.Payload = &t.Backoff, t.Payload
		if d.Payload == nil {
			d.Payload = json.RawMessage("null")
		}
	}
	o := OutcomeOf(history)
	d.Result, d.Error, d.Reason = o.Result, o.Error, o.Reason
	for _, e := range history {
		v, err := EventOf(e)
		if err != nil {
			return d, err
		}
		d.Events = append(d.Events, v)
	}
	return d, nil
}

// Defined reports whether it is known what a task was asked for: every request says how many attempts there are.
func Defined(t events.Task) bool { return t.MaxAttempts > 0 }

// Outcome is how the last attempt ended, as far as it did.
type Outcome struct {
	Result json.RawMessage
	Error  string
	Reason events.Reason
}

// OutcomeOf reads the outcome out of a task's history.
func OutcomeOf(history []events.Event) (o Outcome) {
	for _, e := range history {
		switch d := e.Data.(type) {
		case events.TaskCompleted:
			o = Outcome{Result: d.Result}
		case events.TaskFailed:
			o = Outcome{Error: d.Error, Reason: d.Reason}
		case events.TaskCancelled:
			o = Outcome{Error: d.Reason}
		case events.TaskRetryRequested:
			o = Outcome{}
		case events.TaskRequested, events.TaskDue, events.TaskStarted, events.TaskReleased, events.QueuePaused, events.QueueResumed:
		}
	}
	return o
}

// Event is one event in answers and event streams.
type Event struct {
	EventID string          `json:"eventId"`
	Type    events.Type     `json:"type"`
	Task    string          `json:"task,omitempty"`
	V       int             `json:"v"`
	At      string          `json:"at"`
	Data    json.RawMessage `json:"data"`
}

// EventOf is an event of the log.
func EventOf(e events.Event) (Event, error) {
	typ, version, data, err := events.Encode(e.Data)
	if err != nil {
		return Event{}, fmt.Errorf("show event %s: %w", e.ID, err)
	}
	return Event{EventID: e.ID.String(), Type: typ, Task: e.Task, V: version, At: Stamp(e.ID.Ms), Data: data}, nil
}

// Queue is what is known of a queue.
type Queue struct {
	Queue  string        `json:"queue"`
	Paused bool          `json:"paused"`
	Counts queues.Counts `json:"counts"` // of all states, also those without a task; never below zero
	Totals queues.Totals `json:"totals"` // of all that ever happened
}

// QueuesOf is every queue of a view that is paused or ever had a task, by name; never nil. A mistyped name that was
// paused and resumed is in the view, because it is in the log, and nobody wants to see it again.
func QueuesOf(view *queues.View) []Queue {
	list := []Queue{}
	for name, q := range view.All() {
		if !q.Paused && len(q.Counts) == 0 && q.Totals == (queues.Totals{}) {
			continue
		}
		list = append(list, Queue{Queue: name, Paused: q.Paused, Counts: q.Counts.Whole(), Totals: q.Totals})
	}
	return list
}
