package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/services/api/wire"
)

// partitionViews are the views of a partition as of an entry.
type partitionViews struct {
	Partition  int                                   `json:"partition"`
	Checkpoint string                                `json:"checkpoint"` // of the last entry that is counted
	Entries    int64                                 `json:"entries"`    // read
	Skipped    int64                                 `json:"skipped"`    // of these, no events
	Views      map[string]map[string]json.RawMessage `json:"views"`      // view → field → value
}

// viewsAt prints the views as they were at an instant.
func (p *program) viewsAt(ctx context.Context, f replayFlags) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	until, err := instant(ctx, log, f.until)
	if err != nil {
		return err
	}
	out := struct {
		At         string           `json:"at"`
		Partitions []partitionViews `json:"partitions"`
	}{At: wire.Stamp(until.Ms)}
	all, fields := new(queues.View), map[string]int{}
	for _, part := range log.Partitions() {
		as, err := p.partitionAt(ctx, log, part, f, until)
		if err != nil {
			return err
		}
		v := partitionViews{part.N, as.Checkpoint.String(), as.Read, as.Skipped, map[string]map[string]json.RawMessage{}}
		for view, values := range as.Fields {
			v.Views[view] = map[string]json.RawMessage{}
			for field, value := range values {
				v.Views[view][field] = json.RawMessage(value)
			}
			fields[view] += len(values)
		}
		out.Partitions = append(out.Partitions, v)
		q := new(queues.View)
		if err := q.Load(as.Fields[q.Name()]); err != nil {
			return err
		}
		all.Merge(q)
	}
	return p.print(out, func(w io.Writer) {
		say(w, "as of %s", out.At)
		for _, v := range out.Partitions {
			say(w, "partition %d: %s, up to %s", v.Partition, many(v.Entries, "entry", "entries"), v.Checkpoint)
		}
		for _, view := range slices.Sorted(maps.Keys(fields)) {
			say(w, "%s: %s", view, many(fields[view], "field", "fields"))
		}
		if all.Len() > 0 {
			say(w, "")
			sayQueues(w, wire.QueuesOf(all))
		}
	})
}

// partitionAt makes the views of a partition as of an entry, without those that are not asked for.
func (p *program) partitionAt(ctx context.Context, log *eventlog.Log, part eventlog.Partition, f replayFlags, until events.ID) (views.Stored, error) {
	if err := p.covers(ctx, log, part, until); err != nil {
		return views.Stored{}, err
	}
	as, err := views.AsOf(ctx, log, part, until)
	if err == nil && f.only != "" {
		maps.DeleteFunc(as.Fields, func(view string, _ map[string]string) bool { return view != f.only })
	}
	return as, err
}
