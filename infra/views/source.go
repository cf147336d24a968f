package views

import (
	"context"
	"iter"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections"
)

const sourcePage = 1000 // entries read at a time

// Source returns a partition of the log as a source of events, for projections.Replay.
func Source(log *eventlog.Log, p eventlog.Partition) projections.Source { return source{log, p} }

type source struct {
	log  *eventlog.Log
	part eventlog.Partition
}

// After implements projections.Source. It ends at the end that the log has when it gets there.
func (s source) After(ctx context.Context, checkpoint events.ID) iter.Seq2[events.Event, error] {
	return func(yield func(events.Event, error) bool) {
		for entries, err := range s.log.ReadAhead(ctx, s.part, checkpoint, events.MaxID, sourcePage) {
			if err != nil {
				yield(events.Event{}, err)
				return
			}
			for _, e := range entries {
				if !yield(e.Event, e.Err) {
					return
				}
			}
		}
	}
}

// AsOf makes the views of a partition as they were after an entry, from the log, and stores them nowhere.
func AsOf(ctx context.Context, log *eventlog.Log, p eventlog.Partition, until events.ID) (Stored, error) {
	f := newFold(p)
	for page, err := range log.ReadAhead(ctx, p, events.ID{}, until, sourcePage) {
		if err != nil {
			return Stored{}, err
		}
		for _, e := range page {
			if f.Full(e) {
				f.Tasks.Told() // there is no index to keep
			}
			f.Add(e)
		}
	}
	as := Stored{Head: f.Head, Fields: map[string]map[string]string{}}
	f.Fields(as.Fields)
	return as, nil
}
