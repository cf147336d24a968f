package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// taskView is a task as the HTTP API tells it in lists and answers.
type taskView struct {
	TaskID      string       `json:"taskId"`
	TaskName    string       `json:"taskName"`
	Queue       string       `json:"queue"`
	State       events.State `json:"state"`
	Priority    int          `json:"priority"`
	CreatedAt   string       `json:"createdAt,omitempty"`
	UpdatedAt   string       `json:"updatedAt,omitempty"`
	DueAt       string       `json:"dueAt"`
	Attempt     int          `json:"attempt"`
	Attempts    int          `json:"attempts"`
	MaxAttempts int          `json:"maxAttempts"`
	Worker      string       `json:"worker,omitempty"`
}

// taskDetail is a task as GET /api/tasks/:id tells it.
type taskDetail struct {
	taskView
	Payload     json.RawMessage `json:"payload"`
	Backoff     events.Backoff  `json:"backoff"`
	TimeoutMs   int64           `json:"timeoutMs,omitempty"`
	Traceparent string          `json:"traceparent,omitempty"`
	Result      json.RawMessage `json:"result,omitempty"`
	Error       string          `json:"error,omitempty"`
	Reason      events.Reason   `json:"reason,omitempty"`
	Events      []eventView     `json:"events"`
}

func (p *program) taskCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "task ID", Short: "Show a task: its state and its history", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.task(cmd.Context(), args[0]) },
	})
}

func (p *program) task(ctx context.Context, id string) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	if events.ValidateName("id", id) != nil {
		return fmt.Errorf("task %s: %w", id, eventlog.ErrNotFound) // no task can have it: it must not become a key
	}
	t, err := log.Task(ctx, id)
	if err != nil {
		return err
	}
	entries, err := log.History(ctx, t)
	if err != nil {
		return err
	}
	history := make([]events.Event, 0, len(entries))
	for _, e := range entries {
		if e.Err != nil {
			p.warn(e.Err)
			continue
		}
		history = append(history, e.Event)
	}
	d, err := detail(t, history)
	if err != nil {
		return err
	}
	return p.print(d, func(w io.Writer) { sayTask(w, d, history) })
}

// warn tells of something that was passed over.
func (p *program) warn(err error) {
	_, _ = fmt.Fprintf(p.stderr, "tasklog: %s\n", clean(err.Error())) // there is nowhere else to say it
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

func detail(t events.Task, history []events.Event) (taskDetail, error) {
	d := taskDetail{
		taskView: viewTask(t), Payload: t.Payload, Backoff: t.Backoff, TimeoutMs: t.TimeoutMs,
		Traceparent: t.Traceparent, Events: make([]eventView, 0, len(history)),
	}
	if d.Payload == nil {
		d.Payload = json.RawMessage("null")
	}
	for _, e := range history {
		v, err := viewEvent(e)
		if err != nil {
			return d, err
		}
		d.Events = append(d.Events, v)
		switch b := e.Data.(type) {
		case events.TaskCompleted:
			d.Result, d.Error, d.Reason = b.Result, "", ""
		case events.TaskFailed:
			d.Result, d.Error, d.Reason = nil, b.Error, b.Reason
		case events.TaskCancelled:
			d.Result, d.Error, d.Reason = nil, b.Reason, ""
		case events.TaskRetryRequested:
			d.Result, d.Error, d.Reason = nil, "", ""
		case events.TaskRequested, events.TaskDue, events.TaskStarted, events.TaskReleased, events.QueuePaused, events.QueueResumed:
		}
	}
	return d, nil
}

// maxShown is how many characters of a payload people are shown; programs get all.
const maxShown = 1000

func sayTask(w io.Writer, d taskDetail, history []events.Event) {
	rows := [][2]string{
		{"task", clean(d.TaskID)},
		{"name", clean(d.TaskName)},
		{"queue", clean(d.Queue)},
		{"state", string(d.State)},
		{"priority", fmt.Sprint(d.Priority)},
		{"due", d.DueAt},
		{"attempts", fmt.Sprintf("%d of %d", d.Attempts, d.MaxAttempts)},
		{"worker", clean(d.Worker)},
		{"payload", brief(string(d.Payload), maxShown)},
		{"result", brief(string(d.Result), maxShown)},
		{"reason", string(d.Reason)},
		{"error", brief(d.Error, maxShown)},
	}
	for _, row := range rows {
		if row[1] != "" {
			say(w, "%-9s %s", row[0], row[1])
		}
	}
	t := newTable("time", "entry", "event", "what")
	for _, e := range history {
		t.AppendRow([]any{stamp(e.ID.Ms), e.ID, e.Data.Type(), describe(e.Data)})
	}
	say(w, "\n%s", t.Render())
}
