package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/wire"
)

func (p *program) queuesCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "queues", Short: "Show every queue: its tasks by state", Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.queues(cmd.Context()) },
	})
}

// stale is how old an event is that people wonder not to see counted.
const stale = time.Second

func (p *program) queues(ctx context.Context) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	closed := log.Ready(ctx)
	if closed != nil && !eventlog.Closed(closed) {
		return closed
	}
	store := views.New(log)
	if err := store.Await(ctx, views.Patience); err != nil {
		return err
	}
	view, fresh, err := store.Queues(ctx)
	if errors.Is(err, views.ErrUnusable) {
		return fmt.Errorf("%w; make them anew with \"tasklog replay\"", err)
	}
	if err != nil {
		return err
	}
	late, err := notCounted(ctx, log, store, fresh)
	if err != nil {
		return err
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
	}{Queues: wire.QueuesOf(view), Missed: fresh.Missed(), Behind: late.events}
	if !fresh.Newest.IsZero() {
		out.AsOf = wire.Stamp(fresh.Newest.UnixMilli())
	}
	if closed != nil {
		p.warn(closed)
	}
	return p.print(out, func(w io.Writer) {
		if closed == nil || len(out.Queues) > 0 { // an unfinished copy has no views yet
			sayQueues(w, out.Queues)
		}
		if closed == nil && late.events > 0 && now.Sub(late.first.Time()) > stale {
			say(w, "\nas of %s; events that are not counted yet: %d; does a projector run?", late.asOf(), late.events)
		}
	})
}

// late is what the views do not count yet. The zero late is that of views that count all there is.
type late struct {
	events     int64
	checkpoint events.ID // up to where all is counted, in every partition
	first      events.ID // the first that is not
}

// asOf says up to when all is counted.
func (l late) asOf() string {
	if l.checkpoint.IsZero() {
		return "before the first event"
	}
	return wire.Stamp(l.checkpoint.Ms)
}

// notCounted returns what views that are that fresh do not count yet.
func notCounted(ctx context.Context, log *eventlog.Log, store *views.Store, fresh views.Freshness) (l late, err error) {
	lags, err := store.Lag(ctx)
	if err != nil {
		return l, err
	}
	for i, part := range log.Partitions() {
		if lags[i].Entries == 0 {
			continue
		}
		l.events += lags[i].Entries
		at := fresh.Partitions[i].Checkpoint
		next, err := log.Range(ctx, part, at, events.MaxID, 1)
		if err != nil {
			return l, err
		}
		if len(next) > 0 && (l.first.IsZero() || next[0].ID.Compare(l.first) < 0) {
			l.first, l.checkpoint = next[0].ID, at
		}
	}
	return l, nil
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
