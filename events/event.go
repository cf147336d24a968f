package events

import "encoding/json"

// Type names an event type. It is the field "type" of a log entry.
type Type string

// The event types. A type is never renamed; a changed body gets a new version.
const (
	TypeTaskRequested      Type = "TaskRequested"
	TypeTaskDue            Type = "TaskDue"
	TypeTaskStarted        Type = "TaskStarted"
	TypeTaskCompleted      Type = "TaskCompleted"
	TypeTaskFailed         Type = "TaskFailed"
	TypeTaskReleased       Type = "TaskReleased"
	TypeTaskCancelled      Type = "TaskCancelled"
	TypeTaskRetryRequested Type = "TaskRetryRequested"
	TypeQueuePaused        Type = "QueuePaused"
	TypeQueueResumed       Type = "QueueResumed"
)

// Types lists every event type, in the order of a task's life.
var Types = []Type{
	TypeTaskRequested, TypeTaskDue, TypeTaskStarted, TypeTaskCompleted, TypeTaskFailed,
	TypeTaskReleased, TypeTaskCancelled, TypeTaskRetryRequested, TypeQueuePaused, TypeQueueResumed,
}

// Version is the schema version of the bodies that this code writes. All types are at 1.
const Version = 1

// Event is one entry of the log.
type Event struct {
	ID   ID     // position and time
	Task string // task id; empty for an event about a queue
	Data Data   // the body; never nil in a decoded event
}

// Data is the body of an event. The set is closed: a switch over it that forgets one fails lint.
//
//sumtype:decl
type Data interface {
	// Type is the event type whose body this is.
	Type() Type
	// About is what the event concerns; for an event about a queue the name is empty.
	About() Label

	sealed()
}

// Label says which queue and which task name an event concerns: every body carries it, so that
// a projection can count an event without remembering the task.
type Label struct {
	Queue string `json:"queue"`
	Name  string `json:"name,omitempty"`
}

// About implements Data for the bodies that embed a Label.
func (l Label) About() Label { return l }

// sealed closes the set of Data: whatever embeds a Label elsewhere is no event to DecodeData.
func (Label) sealed() {}

// Definition is what a client asked for: the part of TaskRequested that stays true for the
// task's whole life.
type Definition struct {
	Payload     json.RawMessage `json:"payload,omitempty"` // any JSON; absent means null
	Priority    int             `json:"priority"`          // 0 … MaxPriority, lower runs first
	MaxAttempts int             `json:"maxAttempts"`       // at least 1
	Backoff     Backoff         `json:"backoff"`
	TimeoutMs   int64           `json:"timeoutMs,omitempty"`   // 0: the worker's default
	Traceparent string          `json:"traceparent,omitempty"` // W3C trace context
	RequestID   string          `json:"requestId,omitempty"`   // the token that tells a repeat from a duplicate
}

// TaskRequested says that a task was accepted. DueAt is in ms of Redis' clock. DelayMs is how
// long after the request that is, and absent when the task may run at once.
type TaskRequested struct {
	Label
	Definition
	DueAt   int64 `json:"dueAt"`
	DelayMs int64 `json:"delayMs,omitempty"`
}

// TaskDue says that an attempt may start now: it was handed to the workers.
type TaskDue struct {
	Label
	Attempt  int   `json:"attempt"`
	Priority int   `json:"priority"`
	DueAt    int64 `json:"dueAt"` // ms: since when it could have been due
	From     State `json:"from"`  // delayed, waiting or retrying
}

// TaskStarted says that a worker holds the task and runs it.
type TaskStarted struct {
	Label
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker"`
	Token   string `json:"token"`  // the mutex value: with the attempt, the fencing token
	WaitMs  int64  `json:"waitMs"` // from dueAt to now
}

// TaskCompleted says that the running attempt succeeded. It is final.
type TaskCompleted struct {
	Label
	Attempt int             `json:"attempt"`
	Worker  string          `json:"worker"`
	RunMs   int64           `json:"runMs"`
	Result  json.RawMessage `json:"result,omitempty"` // any JSON; absent when the handler returned nothing
}

// Reason says why an attempt failed or was released.
type Reason string

// The reasons of TaskFailed, then those of TaskReleased.
const (
	ReasonError     Reason = "error"
	ReasonPanic     Reason = "panic"
	ReasonTimeout   Reason = "timeout"
	ReasonAbandoned Reason = "abandoned" // its worker stopped extending the lease
	ReasonRejected  Reason = "rejected"  // the handler says that no retry can help

	ReasonShutdown  Reason = "shutdown"
	ReasonNoHandler Reason = "no handler"
)

// TaskFailed says that the running attempt failed. With RetryAt the task is tried again then;
// without, it is final.
type TaskFailed struct {
	Label
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker,omitempty"`
	RunMs   int64  `json:"runMs"`
	Error   string `json:"error"`
	Reason  Reason `json:"reason"`
	RetryAt int64  `json:"retryAt,omitempty"` // ms of Redis' clock
}

// TaskReleased says that a worker gives the task back unfinished. The attempt is not counted.
// Without RetryAt the task waits for the next free worker.
type TaskReleased struct {
	Label
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker"`
	Reason  Reason `json:"reason"`
	From    State  `json:"from"`              // due or active
	RetryAt int64  `json:"retryAt,omitempty"` // ms of Redis' clock
}

// TaskCancelled says that the task will not run, or not to its end. It is final.
type TaskCancelled struct {
	Label
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
	From   State  `json:"from"`
}

// TaskRetryRequested says that a person opened a failed or cancelled task again, with all its
// attempts. Attempt numbers go on: they are the fencing token and never repeat.
type TaskRetryRequested struct {
	Label
	By        string `json:"by"`
	RequestID string `json:"requestId,omitempty"` // the token that tells a repeat from another retry
	From      State  `json:"from"`
}

// QueuePaused says that nothing of the queue becomes due until QueueResumed.
type QueuePaused struct {
	Label
	By string `json:"by"`
}

// QueueResumed ends a pause.
type QueueResumed struct {
	Label
	By string `json:"by"`
}

// Type implements Data.
func (TaskRequested) Type() Type { return TypeTaskRequested }

// Type implements Data.
func (TaskDue) Type() Type { return TypeTaskDue }

// Type implements Data.
func (TaskStarted) Type() Type { return TypeTaskStarted }

// Type implements Data.
func (TaskCompleted) Type() Type { return TypeTaskCompleted }

// Type implements Data.
func (TaskFailed) Type() Type { return TypeTaskFailed }

// Type implements Data.
func (TaskReleased) Type() Type { return TypeTaskReleased }

// Type implements Data.
func (TaskCancelled) Type() Type { return TypeTaskCancelled }

// Type implements Data.
func (TaskRetryRequested) Type() Type { return TypeTaskRetryRequested }

// Type implements Data.
func (QueuePaused) Type() Type { return TypeQueuePaused }

// Type implements Data.
func (QueueResumed) Type() Type { return TypeQueueResumed }
