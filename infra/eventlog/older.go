package eventlog

import (
	"context"
	"fmt"

	"github.com/tasklog/tasklog/events"
)

// Older has entries that left the stream: an archive.
type Older interface {
	// Range returns at most n entries of a partition after an id and not after until, oldest first. Fewer than n
	// means that there are no more. An error is of what was asked for, and stops nothing else.
	Range(ctx context.Context, partition int, after, until events.ID, n int) ([]Entry, error)
	// Raw is Range of entries as the stream had them.
	Raw(ctx context.Context, partition int, after, until events.ID, n int) ([]Raw, error)
	// End returns the id of the last entry of a partition, or the zero ID, and how many there are.
	End(ctx context.Context, partition int) (events.ID, int64, error)
}

// Attach makes the log one with what left its streams: Range, Verbatim, Follow and History then take what lies at or
// before the id up to which a stream was trimmed from there. It is for before the log is used.
func (l *Log) Attach(o Older) { l.older = o }

// across is Range, or Verbatim, over both. The stream is read before it is asked up to where it was trimmed: what a trim
// took in between is then known to be missing, and read again from where it is.
func across[E Entry | Raw](
	ctx context.Context, l *Log, p Partition, after, until events.ID, n int,
	older func(ctx context.Context, partition int, after, until events.ID, n int) ([]E, error),
	stream func(ctx context.Context, p Partition, after, until events.ID, n int) ([]E, error),
) ([]E, error) {
	mark := events.ID{} // up to which entries are read from the older ones
	for {
		var read []E
		from := after
		if after.Compare(mark) < 0 {
			old, err := older(ctx, p.N, after, earlier(until, mark), n)
			if err != nil || len(old) >= n || until.Compare(mark) <= 0 {
				return old, err
			}
			read, from = old, mark
		}
		rest, err := stream(ctx, p, from, until, n-len(read))
		if err != nil {
			return nil, err
		}
		trimmed, _, err := l.Trimmed(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("read %s after %s: %w", p.Events, after, err)
		}
		if trimmed.Compare(from) <= 0 {
			return append(read, rest...), nil
		}
		mark = trimmed
	}
}

func earlier(a, b events.ID) events.ID {
	if b.Compare(a) < 0 {
		return b
	}
	return a
}

// Behind reports whether what follows an id is to be read from the older ones. It asks nothing of these.
func (l *Log) Behind(ctx context.Context, p Partition, after events.ID) (bool, error) {
	if l.older == nil {
		return false, nil
	}
	trimmed, _, err := l.Trimmed(ctx, p)
	return after.Compare(trimmed) < 0, err
}

// Entries returns how many entries of a partition Range reads: those of its stream, and the older ones.
func (l *Log) Entries(ctx context.Context, p Partition) (int64, error) {
	n, err := l.Len(ctx, p)
	if err != nil {
		return 0, err
	}
	archived, err := l.Archived(ctx, p)
	return n + archived, err
}

// Archived returns how many entries of a partition left its stream and are among the older ones; 0 when nothing
// is attached.
func (l *Log) Archived(ctx context.Context, p Partition) (int64, error) {
	if l.older == nil {
		return 0, nil
	}
	mark, n, err := l.Trimmed(ctx, p)
	if err != nil || n == 0 {
		return 0, err
	}
	end, _, err := l.older.End(ctx, p.N)
	if err != nil || end.Compare(mark) < 0 {
		return 0, err
	}
	return n, nil
}
