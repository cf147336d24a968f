package projections

import (
	"context"
	"errors"
	"iter"

	"github.com/tasklog/tasklog/events"
)

// Source is where the events of one partition come from: the live log, an archive, a simulation.
type Source interface {
	// After yields the events behind a checkpoint, oldest first, and ends where the source ends now.
	// An events.ErrUndecodable comes with the id of its entry, and the next entry follows it; any
	// other error is the last thing yielded.
	After(ctx context.Context, checkpoint events.ID) iter.Seq2[events.Event, error]
}

// Replayed tells how far a replay came.
type Replayed struct {
	Checkpoint events.ID // of the last entry read: a replay from there goes on
	Events     int       // applied
	Skipped    int       // entries that are no events
}

// Replay folds the events behind a checkpoint into views, up to and including until: events.MaxID for
// all there is, or any id of the past to see the views as of then. On an error the views are as of
// the checkpoint that it returns.
func Replay(ctx context.Context, src Source, checkpoint, until events.ID, views ...Applier) (Replayed, error) {
	done := Replayed{Checkpoint: checkpoint}
	for e, err := range src.After(ctx, checkpoint) {
		if err != nil && !errors.Is(err, events.ErrUndecodable) {
			return done, err
		}
		if e.ID.Compare(until) > 0 {
			break
		}
		done.Checkpoint = e.ID
		if err != nil {
			done.Skipped++
			continue
		}
		done.Events++
		for _, v := range views {
			v.Apply(e)
		}
	}
	return done, nil
}
