package projector

import (
	"context"
	"log/slog"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// gather folds the next events: it waits for the first, and takes more as long as they are there at
// once, or the last save was a moment ago, or until a save is full. Events of one task that share a
// save cost one write.
func (f *follower) gather(ctx context.Context) error {
	if len(f.ahead) == 0 {
		patience := eventlog.MaxBlock
		if f.past.behind(f.fold.Checkpoint) {
			patience = 0 // it has something to do
		}
		var err error
		if f.ahead, f.more, err = f.pages.Follow(ctx, f.part, f.fold.Checkpoint, patience); err != nil {
			return err
		}
	}
	until := f.saved.Add(f.cfg.Pace)
	for n := 0; len(f.ahead) > 0; {
		read := len(f.ahead)
		f.add(ctx)
		if n += read - len(f.ahead); len(f.ahead) > 0 || n > maxBatch-readBatch {
			return nil
		}
		if !f.more { // this is all, for now
			wait := time.Until(until)
			if wait <= 0 || ctx.Err() != nil {
				return nil
			}
			pause.For(ctx, wait)
		}
		var err error
		if f.ahead, f.more, err = f.pages.Range(ctx, f.part, f.fold.Checkpoint, events.MaxID); err != nil {
			return err
		}
	}
	return nil
}

// add folds what was read, until the views must be stored.
func (f *follower) add(ctx context.Context) {
	for i, e := range f.ahead {
		if f.fold.Full(e) {
			f.ahead = f.ahead[i:]
			return
		}
		if e.Err != nil {
			f.metrics.skipped.Inc()
			f.slog.LogAttrs(ctx, slog.LevelError, "entry of the log skipped: it is no event",
				slog.Int("partition", f.part.N), slog.String("id", e.ID.String()), slog.Any("error", e.Err))
		} else {
			f.metrics.events.Inc()
		}
		before := f.fold.Checkpoint
		f.fold.Add(e)
		f.past.follow(before, e)
	}
	f.ahead = nil
}

// noteGap says aloud when entries were removed from the log before we read them.
func (f *follower) noteGap(ctx context.Context) error {
	missed, err := f.store.NoteGap(ctx, f.fold)
	if err != nil || missed == 0 {
		return err
	}
	f.metrics.missed.Add(float64(missed))
	f.slog.LogAttrs(ctx, slog.LevelError, "the log was trimmed before it was read: the views miss events",
		slog.Int("partition", f.part.N), slog.Int64("entries", missed))
	return nil
}

// renew extends the lease of a partition in which nothing happens, when it would end before the next
// read does.
func (f *follower) renew(ctx context.Context) error {
	if time.Since(f.renewed)+eventlog.MaxBlock+500*time.Millisecond < f.cfg.LeaseTTL {
		return nil
	}
	asked := time.Now()
	err := f.store.Extend(ctx, f.part, f.id, f.cfg.LeaseTTL)
	f.renewed = asked
	return err
}
