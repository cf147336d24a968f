package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

// Reader is who reads the log of a partition, and how far it came.
type Reader struct {
	Name    string    // as among Partition.Readers, or of the consumer group
	Group   bool      // it is a consumer group of the stream
	At      events.ID // up to here it has read
	Entries int64     // that it has still to read; -1: Redis does not say
	Pending int64     // that a group was given and did not yet acknowledge
}

// ReadersOf returns who reads the stream of a partition, by name: those that registered themselves, and consumer
// groups. The views are not among them.
func (l *Log) ReadersOf(ctx context.Context, p Partition) ([]Reader, error) {
	var registered *redis.MapStringStringCmd
	var groups *redis.XInfoGroupsCmd
	_, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		registered = pipe.HGetAll(ctx, p.Readers)
		groups = pipe.XInfoGroups(ctx, p.Events)
		return nil
	})
	if err != nil && !strings.HasPrefix(err.Error(), "ERR no such key") {
		return nil, fmt.Errorf("list the readers of partition %d: %w", p.N, err)
	}
	var list []Reader
	for name, at := range registered.Val() {
		id, err := events.ParseID(at)
		if err != nil {
			return nil, fmt.Errorf("list the readers of partition %d: %s: %w", p.N, name, err)
		}
		list = append(list, Reader{Name: name, At: id, Entries: -1})
	}
	for _, g := range groups.Val() {
		id, err := events.ParseID(g.LastDeliveredID)
		if err != nil {
			return nil, fmt.Errorf("list the readers of partition %d: group %s: %w", p.N, g.Name, err)
		}
		list = append(list, Reader{Name: g.Name, Group: true, At: id, Entries: g.Lag, Pending: g.Pending})
	}
	slices.SortFunc(list, func(a, b Reader) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// Bytes returns how much memory the stream of a partition takes, as Redis estimates it from some of its nodes;
// 0 where this Redis does not say.
func (l *Log) Bytes(ctx context.Context, p Partition) (int64, error) {
	n, err := l.conn.View.MemoryUsage(ctx, p.Events).Result()
	if _, refused := errors.AsType[redis.Error](err); refused { // there is no stream, or no such command
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask about the memory of %s: %w", p.Events, err)
	}
	return n, nil
}

// HasArchive reports whether an archive is attached.
func (l *Log) HasArchive() bool { return l.older != nil }

// ArchiveEnd returns the id of the last entry of a partition that an attached archive has; the zero ID when
// nothing is attached, or nothing is there.
func (l *Log) ArchiveEnd(ctx context.Context, p Partition) (events.ID, error) {
	if l.older == nil {
		return events.ID{}, nil
	}
	end, _, err := l.older.End(ctx, p.N)
	if err != nil {
		return events.ID{}, fmt.Errorf("ask about the archive of partition %d: %w", p.N, err)
	}
	return end, nil
}
