package eventlog

import (
	"context"
	"fmt"
	"strings"

	"github.com/tasklog/tasklog/events"
)

// Info is what Redis knows of the stream of a partition. That of one that is not there is zero.
type Info struct {
	Length  int64     // entries
	Added   int64     // entries that there ever were; -1: this Redis does not say
	First   events.ID // zero where there is none
	Last    events.ID // the newest id that there ever was
	Deleted events.ID // the newest entry that XDEL removed
}

// Info asks Redis about the stream of a partition.
func (l *Log) Info(ctx context.Context, p Partition) (Info, error) {
	said, err := l.conn.View.Do(ctx, "XINFO", "STREAM", p.Events).Slice()
	if err != nil && strings.HasPrefix(err.Error(), "ERR no such key") {
		return Info{}, nil
	}
	if err != nil {
		return Info{}, fmt.Errorf("ask about %s: %w", p.Events, err)
	}
	i := Info{Added: -1}
	for n := 0; n+1 < len(said); n += 2 {
		var into *events.ID
		switch said[n] {
		case "length":
			i.Length, _ = said[n+1].(int64)
		case "entries-added":
			i.Added, _ = said[n+1].(int64)
		case "recorded-first-entry-id":
			into = &i.First
		case "last-generated-id":
			into = &i.Last
		case "max-deleted-entry-id":
			into = &i.Deleted
		}
		if id, ok := said[n+1].(string); ok && into != nil {
			if *into, err = events.ParseID(id); err != nil {
				return Info{}, fmt.Errorf("ask about %s: %w", p.Events, err)
			}
		}
	}
	if i.Length > 0 && i.First.IsZero() { // the embedded Redis does not say
		first, err := l.stream(ctx, p, events.ID{}, events.MaxID, 1)
		if err != nil || len(first) == 0 {
			return i, err
		}
		i.First = first[0].ID
	}
	return i, nil
}

// Removed returns how many entries of a partition are gone, from its stream and not to where an attached archive
// has them; 0 where this Redis does not say.
func (l *Log) Removed(ctx context.Context, p Partition) (int64, error) {
	i, err := l.Info(ctx, p)
	if err != nil {
		return 0, err
	}
	archived, err := l.Archived(ctx, p)
	if err != nil {
		return 0, err
	}
	return max(0, i.Added-i.Length-archived), nil
}
