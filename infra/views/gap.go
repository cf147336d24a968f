package views

import (
	"context"
	"fmt"

	"github.com/tasklog/tasklog/events"
)

// NoteGap looks whether entries of the log were removed before f read them, counts them in Missed and
// returns how many they are: those that were added are read, still there, or missing. While f is behind
// the end of the log it may find fewer, and the rest once it has caught up. A Redis that does not say
// how many entries were ever added (the embedded one) hides every gap.
func (s *Store) NoteGap(ctx context.Context, f *Fold) (int64, error) {
	info, err := s.rdb.Do(ctx, "XINFO", "STREAM", f.part.Events).Slice()
	if err != nil {
		return 0, fmt.Errorf("look for a gap in partition %d: %w", f.part.N, err)
	}
	var added, length int64
	var end events.ID
	for i := 0; i+1 < len(info); i += 2 {
		switch info[i] {
		case "entries-added":
			added, _ = info[i+1].(int64)
		case "length":
			length, _ = info[i+1].(int64)
		case "last-generated-id":
			id, _ := info[i+1].(string)
			if end, err = events.ParseID(id); err != nil {
				return 0, fmt.Errorf("look for a gap in partition %d: %w", f.part.N, err)
			}
		}
	}
	mark, _, err := s.log.Archived(ctx, f.part)
	if err != nil {
		return 0, fmt.Errorf("look for a gap in partition %d: %w", f.part.N, err)
	}
	if f.Checkpoint.Compare(mark) < 0 {
		return 0, nil // it still reads what is in the archive
	}
	unread := length // of what is still there: at the most
	if end == f.Checkpoint {
		unread = 0
	}
	missed := max(0, added-unread-f.Read-f.Missed)
	f.Missed += missed
	return missed, nil
}
