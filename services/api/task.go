package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// by is who asks, as the events of a cancellation, a retry or a pause record it.
const by = "api"

// taskView is a task in lists and answers. Its fields are those of a request where they mean the same.
type taskView struct {
	TaskID      string       `json:"taskId"`
	TaskName    string       `json:"taskName"`
	Queue       string       `json:"queue"`
	State       events.State `json:"state"`
	Priority    int          `json:"priority"`
	CreatedAt   string       `json:"createdAt,omitempty"` // RFC 3339, UTC, ms, as all times are
	UpdatedAt   string       `json:"updatedAt,omitempty"` // of the newest event
	DueAt       string       `json:"dueAt"`
	Attempt     int          `json:"attempt"`  // number of the last attempt that started; 0: none
	Attempts    int          `json:"attempts"` // how many count against maxAttempts
	MaxAttempts int          `json:"maxAttempts"`
	Worker      string       `json:"worker,omitempty"` // of the last attempt
}

// taskDetail is the answer to GET /api/tasks/:id.
type taskDetail struct {
	taskView
	Payload     json.RawMessage `json:"payload"` // null when there is none
	Backoff     events.Backoff  `json:"backoff"`
	TimeoutMs   int64           `json:"timeoutMs,omitempty"`
	Traceparent string          `json:"traceparent,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"` // of a completed task
	Error       string          `json:"error,omitempty"`  // of the last attempt if it failed, or why the task was cancelled
	Reason      events.Reason   `json:"reason,omitempty"` // of the failure
	Events      []eventView     `json:"events"`           // all that the log still holds, in order
}

// eventView is one event in answers and event streams.
type eventView struct {
	EventID string          `json:"eventId"`
	Type    events.Type     `json:"type"`
	Task    string          `json:"task,omitempty"`
	V       int             `json:"v"`
	At      string          `json:"at"`
	Data    json.RawMessage `json:"data"`
}

func viewTask(t events.Task) taskView {
	v := taskView{
		TaskID: t.ID, TaskName: t.Name, Queue: t.Queue, State: t.State, Priority: t.Priority, DueAt: stamp(t.DueAt),
		Attempt: t.Attempt, Attempts: t.Attempts(), MaxAttempts: t.MaxAttempts, Worker: t.Worker,
	}
	if n := len(t.Events); n > 0 {
		v.CreatedAt, v.UpdatedAt = stamp(t.Events[0].Ms), stamp(t.Events[n-1].Ms)
	}
	return v
}

func viewEvent(e events.Event) (eventView, error) {
	typ, version, data, err := events.Encode(e.Data)
	if err != nil {
		return eventView{}, err
	}
	return eventView{EventID: e.ID.String(), Type: typ, Task: e.Task, V: version, At: stamp(e.ID.Ms), Data: data}, nil
}

// encodeEvent returns an event as one line of JSON.
func encodeEvent(e events.Event) ([]byte, error) {
	v, err := viewEvent(e)
	if err != nil {
		return nil, err
	}
	line, err := encodeJSON(v)
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// taskAndHistory reads the task that the path names, with its events.
func (a *API) taskAndHistory(c *gin.Context) (events.Task, []events.Event, error) {
	id, err := taskID(c)
	if err != nil {
		return events.Task{}, nil, err
	}
	t, err := a.log.Task(c.Request.Context(), id)
	if err != nil {
		return t, nil, err
	}
	entries, err := a.log.History(c.Request.Context(), t)
	if err != nil {
		return t, nil, err
	}
	return t, a.decodable(c, entries), nil
}

// decodable returns the events among entries, and counts and logs the others.
func (a *API) decodable(c *gin.Context, entries []eventlog.Entry) []events.Event {
	list := make([]events.Event, 0, len(entries))
	for _, e := range entries {
		if e.Err != nil {
			a.skip(c.Request.Context(), e.ID)
			continue
		}
		list = append(list, e.Event)
	}
	return list
}

// task serves GET /api/tasks/:id.
func (a *API) task(c *gin.Context) {
	t, history, err := a.taskAndHistory(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	d := taskDetail{
		taskView: viewTask(t), Payload: t.Payload, Backoff: t.Backoff, TimeoutMs: t.TimeoutMs,
		Traceparent: t.Traceparent, Events: make([]eventView, 0, len(history)),
	}
	if d.Payload == nil {
		d.Payload = json.RawMessage("null")
	}
	o := outcomeOf(history)
	d.Result, d.Error, d.Reason = o.result, o.err, o.reason
	for _, e := range history {
		v, err := viewEvent(e)
		if err != nil {
			a.fail(c, fmt.Errorf("show event %s: %w", e.ID, err))
			return
		}
		d.Events = append(d.Events, v)
	}
	answer(c, http.StatusOK, d)
}

// outcome is how the last attempt ended, as far as it did.
type outcome struct {
	result json.RawMessage
	err    string
	reason events.Reason
}

func outcomeOf(history []events.Event) (o outcome) {
	for _, e := range history {
		switch d := e.Data.(type) {
		case events.TaskCompleted:
			o = outcome{result: d.Result}
		case events.TaskFailed:
			o = outcome{err: d.Error, reason: d.Reason}
		case events.TaskCancelled:
			o = outcome{err: d.Reason}
		case events.TaskRetryRequested:
			o = outcome{}
		case events.TaskRequested, events.TaskDue, events.TaskStarted, events.TaskReleased, events.QueuePaused, events.QueueResumed:
		}
	}
	return o
}

// retry serves POST /api/tasks/:id/retry.
func (a *API) retry(c *gin.Context) {
	a.act(c, optionalBody(c, nil), func(id string) (events.ID, error) {
		request, err := uuid.NewV7() // each call asks anew
		if err != nil {
			return events.ID{}, fmt.Errorf("retry task %s: %w", id, err)
		}
		return a.log.Retry(c.Request.Context(), id, by, request.String())
	})
}

// cancel serves POST /api/tasks/:id/cancel.
func (a *API) cancel(c *gin.Context) {
	reason, err := reasonBody(c)
	a.act(c, err, func(id string) (events.ID, error) {
		return a.log.Cancel(c.Request.Context(), id, by, reason)
	})
}

// act takes a decision about the task that the path names, and answers with the task as it is then.
func (a *API) act(c *gin.Context, wrong error, decide func(id string) (events.ID, error)) {
	id, err := taskID(c)
	if err == nil {
		err = wrong
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	event, err := decide(id)
	if err != nil {
		a.fail(c, err)
		return
	}
	t, err := a.log.Task(c.Request.Context(), id)
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		taskView
		EventID string `json:"eventId"`
	}{viewTask(t), event.String()})
}

// taskID returns the id that the path names. One that no task can have is not found: it must not
// become part of a key.
func taskID(c *gin.Context) (string, error) {
	id := param(c, "id")
	if events.ValidateName("id", id) != nil {
		return "", eventlog.ErrNotFound
	}
	return id, nil
}
