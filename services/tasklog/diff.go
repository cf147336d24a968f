package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/projections/queues"
)

const diffHelp = `Show what changed between two instants: of each queue how many tasks were in which state, before and
after, and what happened in between; and the tasks that moved, the newest change first.

` + instantHelp

// queueDiff is what changed in a queue.
type queueDiff struct {
	Queue   string        `json:"queue"`
	Before  queues.Counts `json:"before"`
	After   queues.Counts `json:"after"`
	Between queues.Totals `json:"between"`          // what happened
	Paused  string        `json:"paused,omitempty"` // "paused" or "resumed", where it is not as it was
}

func (p *program) diffCmd() *cobra.Command {
	var queue string
	limit := 20
	cmd := p.withJSON(&cobra.Command{
		Use: "diff INSTANT INSTANT", Short: "Show what changed between two instants", Long: diffHelp, Args: wants(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.diff(cmd.Context(), args[0], args[1], queue, limit)
		},
	})
	cmd.Flags().StringVar(&queue, "queue", "", "only this queue")
	cmd.Flags().IntVar(&limit, "limit", limit, "how many tasks are told")
	return cmd
}

func (p *program) diff(ctx context.Context, from, to, queue string, limit int) error {
	if limit < 0 {
		return &usageError{fmt.Errorf("limit: %d is not at least 0", limit)}
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	first, err := instant(ctx, log, from)
	if err != nil {
		return err
	}
	second, err := instant(ctx, log, to)
	if err != nil {
		return err
	}
	if first.Compare(second) > 0 {
		return &usageError{fmt.Errorf("%s lies after %s: name the earlier instant first", from, to)}
	}
	before, after, err := past.New(log).Between(ctx, first, second)
	if err != nil {
		return err
	}
	p.warnPast(after)
	p.warnQueue(after, queue)
	var moved []asof.Place
	for _, t := range after.Moves(before) {
		if queue == "" || t.Queue == queue {
			moved = append(moved, t)
		}
	}
	more := max(0, len(moved)-limit)
	places, err := placesOf(ctx, log, moved[:len(moved)-more])
	if err != nil {
		return err
	}
	out := struct {
		From   string      `json:"from"`
		To     string      `json:"to"`
		Queues []queueDiff `json:"queues"`
		Tasks  []taskPlace `json:"tasks"` // that moved, and where they are after
		More   int         `json:"more"`  // that --limit left out
	}{events.FormatInstant(first), events.FormatInstant(second), diffQueues(before, after, queue), places, more}
	return p.print(out, func(w io.Writer) {
		say(w, "from %s to %s\n", out.From, out.To)
		if len(out.Queues) == 0 {
			say(w, "nothing happened")
			return
		}
		sayDiff(w, out.Queues)
		if len(out.Tasks) > 0 {
			say(w, "")
			sayPlaces(w, out.Tasks, more)
		}
	})
}

// diffQueues returns what changed in every queue in which anything did, by name.
func diffQueues(before, after *asof.View, only string) []queueDiff {
	list := []queueDiff{}
	for name, q := range after.Queues.All() {
		old := before.Queues.Queue(name)
		d := queueDiff{Queue: name, Before: old.Counts.Whole(), After: q.Counts.Whole()}
		d.Between = queues.Totals{
			Requested: q.Totals.Requested - old.Totals.Requested, Completed: q.Totals.Completed - old.Totals.Completed,
			Failed: q.Totals.Failed - old.Totals.Failed, Cancelled: q.Totals.Cancelled - old.Totals.Cancelled,
			AttemptsFailed: q.Totals.AttemptsFailed - old.Totals.AttemptsFailed,
		}
		if q.Paused != old.Paused {
			d.Paused = "resumed"
			if q.Paused {
				d.Paused = "paused"
			}
		}
		same := d.Paused == "" && d.Between == queues.Totals{}
		for _, s := range events.States {
			same = same && d.Before[s] == d.After[s]
		}
		if !same && (only == "" || only == name) {
			list = append(list, d)
		}
	}
	return list
}

func sayDiff(w io.Writer, list []queueDiff) {
	header := []any{"queue"}
	for _, s := range events.States {
		header = append(header, s)
	}
	t := newTable(append(header, "requested", "ended")...)
	for _, d := range list {
		row := []any{clean(words(d.Queue, d.Paused))}
		for _, s := range events.States {
			cell := fmt.Sprint(d.After[s])
			if d.Before[s] != d.After[s] {
				cell = fmt.Sprintf("%d > %d", d.Before[s], d.After[s])
			}
			row = append(row, cell)
		}
		ended := d.Between.Completed + d.Between.Failed + d.Between.Cancelled
		t.AppendRow(append(row, fmt.Sprintf("+%d", d.Between.Requested), fmt.Sprintf("+%d", ended)))
	}
	say(w, "%s", t.Render())
}
