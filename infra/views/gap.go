package views

import (
	"context"
	"fmt"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// NoteGap looks whether entries of the log were removed before f read them, counts them in Missed and
// returns how many they are.
func (s *Store) NoteGap(ctx context.Context, f *Fold) (int64, error) {
	missed, err := Gap(ctx, s.log, f.part, f.Checkpoint, f.Read+f.Missed)
	f.Missed += missed
	return missed, err
}

// Gap returns how many entries of a partition are neither known, because they were read up to a checkpoint or
// found to be missing, nor still to be read: they were removed from the log before they were read. While the
// checkpoint is behind the end of the log it may find fewer, and the rest once it has caught up. A Redis that
// does not say how many entries were ever added (the embedded one) hides every gap.
func Gap(ctx context.Context, log *eventlog.Log, p eventlog.Partition, checkpoint events.ID, known int64) (int64, error) {
	behind, err := log.Behind(ctx, p, checkpoint)
	if err != nil {
		return 0, fmt.Errorf("look for a gap in partition %d: %w", p.N, err)
	}
	if behind {
		return 0, nil // it still reads what left the stream
	}
	info, err := log.Info(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("look for a gap in partition %d: %w", p.N, err)
	}
	unread := info.Length // of what is still there: at the most
	if info.Last == checkpoint {
		unread = 0
	}
	return max(0, info.Added-unread-known), nil
}
