package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/rebuilder"
	"github.com/tasklog/tasklog/services/scheduler"
)

func (p *program) replayState(ctx context.Context, lossy bool) error {
	terms, err := load[scheduler.Config](p.settings)
	if err != nil {
		return err
	}
	p.anyRows = true
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	p.collectOften()
	sum, err := rebuilder.Run(ctx, log, rebuilder.Config{LeaseTTL: cmp.Or(terms.LeaseTTL, scheduler.DefaultConfig().LeaseTTL), Lossy: lossy, Progress: p.progress()})
	if trimmed := new(rebuilder.ErrTrimmed); errors.As(err, &trimmed) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w\nDecisions may be refused until this ends well: run it again", err)
	}
	out := struct {
		Partitions int                    `json:"partitions"`
		Entries    int64                  `json:"entries"` // read
		Skipped    int64                  `json:"skipped"` // of these, no events
		Illegal    int64                  `json:"illegal"` // of these, events that no task could take
		Older      int64                  `json:"older"`   // of these, events of tasks whose rows were kept
		Tasks      map[events.State]int64 `json:"tasks"`   // by state
		TookMs     int64                  `json:"tookMs"`
	}{sum.Partitions, sum.Entries, sum.Skipped, sum.Illegal, sum.Older, sum.Tasks, sum.Took.Milliseconds()}
	return p.print(out, func(w io.Writer) {
		say(w, "made the state again from %s in %s", many(sum.Entries, "entry", "entries"), sum.Took.Round(time.Millisecond))
		states := newTable("state", "tasks")
		for _, s := range events.States {
			if n := sum.Tasks[s]; n > 0 {
				states.AppendRow([]any{s, n})
			}
		}
		if len(sum.Tasks) > 0 {
			say(w, "%s", states.Render())
		}
		if sum.Skipped > 0 {
			say(w, "%s skipped", many(sum.Skipped, "entry is no event and was", "entries are no events and were"))
		}
		if sum.Older > 0 {
			say(w, "%s kept", many(sum.Older, "event is of a task whose row was", "events are of tasks whose rows were"))
		}
		if sum.Illegal > 0 {
			say(w, "%s skipped, such as", many(sum.Illegal, "event follows from nothing and was", "events follow from nothing and were"))
			for _, why := range sum.Told {
				say(w, "  %s", clean(why))
			}
		}
	})
}
