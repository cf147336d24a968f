package views

import (
	"context"
	"fmt"
)

// NoteGap looks whether entries of the log were removed before f read them, counts them in Missed and
// returns how many they are: those that were added are read, still there, or missing. While f is behind
// the end of the log it may find fewer, and the rest once it has caught up. A Redis that does not say
// how many entries were ever added (the embedded one) hides every gap.
func (s *Store) NoteGap(ctx context.Context, f *Fold) (int64, error) {
	behind, err := s.log.Behind(ctx, f.part, f.Checkpoint)
	if err != nil {
		return 0, fmt.Errorf("look for a gap in partition %d: %w", f.part.N, err)
	}
	if behind {
		return 0, nil // it still reads what left the stream
	}
	info, err := s.log.Info(ctx, f.part)
	if err != nil {
		return 0, fmt.Errorf("look for a gap in partition %d: %w", f.part.N, err)
	}
	unread := info.Length // of what is still there: at the most
	if info.Last == f.Checkpoint {
		unread = 0
	}
	missed := max(0, info.Added-unread-f.Read-f.Missed)
	f.Missed += missed
	return missed, nil
}
