package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/wire"
)

func (p *program) queuesCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "queues", Short: "Show every queue: its tasks by state", Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.queues(cmd.Context()) },
	})
}

// patience is after how long a person wonders why an event is not counted.
const patience = 3 * time.Second

func (p *program) queues(ctx context.Context) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	store := views.New(log)
	view, fresh, err := store.Queues(ctx)
	if errors.Is(err, views.ErrUnusable) {
		return fmt.Errorf("%w; make them anew with \"tasklog replay\"", err)
	}
	if err != nil {
		return err
	}
	lags, err := store.Lag(ctx)
	if err != nil {
		return err
	}
	var behind int64
	for _, l := range lags {
		behind += l.Entries
	}
	now, err := log.Now(ctx)
	if err != nil {
		return err
	}
	out := struct {
		Queues []wire.Queue `json:"queues"`
		AsOf   string       `json:"asOf,omitempty"` // time of the newest event that is counted
		Missed int64        `json:"missed"`         // entries that were trimmed before they were counted
		Behind int64        `json:"behind"`         // events that are not counted yet
	}{Queues: wire.QueuesOf(view), Missed: fresh.Missed(), Behind: behind}
	if !fresh.Newest.IsZero() {
		out.AsOf = wire.Stamp(fresh.Newest.UnixMilli())
	}
	return p.print(out, func(w io.Writer) {
		sayQueues(w, out.Queues)
		if behind > 0 && now.Sub(fresh.Newest) > patience {
			say(w, "\n%d events are not counted yet: does a projector run?", behind)
		}
	})
}

func sayQueues(w io.Writer, list []wire.Queue) {
	if len(list) == 0 {
		say(w, "no queues yet: a queue begins with its first task")
		return
	}
	header := []any{"queue"}
	for _, s := range events.States {
		header = append(header, s)
	}
	t := newTable(header...)
	for _, q := range list {
		name := clean(q.Queue)
		if q.Paused {
			name += " (paused)"
		}
		row := []any{name}
		for _, s := range events.States {
			row = append(row, q.Counts[s])
		}
		t.AppendRow(row)
	}
	say(w, "%s", t.Render())
}
