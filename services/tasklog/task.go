package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
)

func (p *program) taskCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "task ID", Short: "Show a task: its state and its history", Args: wants(1, 1),
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
		return fmt.Errorf("task %q: %w", id, eventlog.ErrNotFound) // no task can have it: it must not become a key
	}
	t, err := log.Task(ctx, id)
	if err != nil {
		return lost(err, id)
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
	gone := len(t.Events) - len(entries)
	d, err := wire.DetailOf(t, history, gone)
	if err != nil {
		return err
	}
	p.warnGone(id, gone)
	return p.print(d, func(w io.Writer) { sayTask(w, d, history) })
}

// lost says of a task without a row, which a finished one may have lost, where else to look for it.
func lost(err error, id string) error {
	if errors.Is(err, eventlog.ErrNotFound) {
		return fmt.Errorf("%w, or not any more: \"tasklog at now task %s\" looks for it in all of the log", err, id)
	}
	return err
}

// warnGone says of a task that so many of its events are in the log no more, and what has them.
func (p *program) warnGone(id string, gone int) {
	if gone == 0 {
		return
	}
	left := "left Redis: --archive URL or TASKLOG_ARCHIVE names the archive that has them"
	if at := p.settings["TASKLOG_ARCHIVE"].value; at != "" {
		left = fmt.Sprintf("left Redis, and the archive %s does not have them", at)
	}
	p.warn(fmt.Errorf("task %s: %d of its events %s", id, gone, left))
}

// warn tells of something that was passed over.
func (p *program) warn(err error) {
	_, _ = fmt.Fprintf(p.stderr, "tasklog: %s\n", clean(err.Error())) // there is nowhere else to say it
}

// whatWentWrong is what people call the error of a task: that of a cancelled one is why somebody did not want it any more.
func whatWentWrong(s events.State) string {
	if s == events.StateCancelled {
		return "reason"
	}
	return "error"
}

// maxShown is how many characters of a payload people are shown; programs get all.
const maxShown = 1000

func sayTask(w io.Writer, d wire.Detail, history []events.Event) {
	rows := [][2]string{
		{"task", clean(d.TaskID)},
		{"name", clean(d.TaskName)},
		{"queue", clean(d.Queue)},
		{"state", string(d.State)},
		{"priority", fmt.Sprint(d.Priority)},
		{"due", d.DueAt},
		{"attempts", attempts(d.Task)},
		{"worker", clean(d.Worker)},
		{"payload", brief(string(d.Payload), maxShown)},
		{"result", brief(string(d.Result), maxShown)},
		{"reason", string(d.Reason)},
		{whatWentWrong(d.State), lines(cut(d.Error, maxShown))},
	}
	for _, row := range rows {
		if row[1] != "" {
			say(w, "%-9s %s", row[0], row[1])
		}
	}
	if len(history) == 0 {
		return
	}
	t := newTable("time", "entry", "event", "what")
	for _, e := range history {
		t.AppendRow([]any{wire.Stamp(e.ID.Ms), e.ID, e.Data.Type(), describe(e.Data)})
	}
	say(w, "\n%s", t.Render())
}

// attempts says how many attempts count, and of how many, where that is known.
func attempts(t wire.Task) string {
	if t.MaxAttempts == 0 {
		return fmt.Sprint(t.Attempts)
	}
	return fmt.Sprintf("%d of %d", t.Attempts, t.MaxAttempts)
}
