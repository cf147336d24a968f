package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// layout says how the fields of rows are to be read. Another version of it cannot decide by them.
const layout = "2"

// LayoutError reports that the rows of tasks were written by another version of this program. The log is as good
// as ever, and the rows can be made from it.
type LayoutError struct{ Prefix, Have string }

func (e *LayoutError) Error() string {
	have := "has rows of tasks of an older version"
	if e.Have > layout {
		have = "has rows of tasks of a newer version"
	}
	return fmt.Sprintf("prefix %q %s: stop all services of the other version, run `tasklog replay --state` with the one that is to work, and start its services",
		e.Prefix, have)
}

// settle fixes what is fixed at the first use of a prefix, unless somebody else did meanwhile.
func settle(ctx context.Context, conn *Conn, meta, partitions string) error {
	_, err := conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.HSetNX(ctx, meta, "rows", layout) // first: whoever finds partitions finds this, too
		pipe.HSetNX(ctx, meta, "partitions", partitions)
		return nil
	})
	return err
}

// readable returns a *LayoutError when the rows of a prefix are of another version.
func readable(ctx context.Context, conn *Conn, prefix string) error {
	have, err := conn.View.HGet(ctx, metaKey(prefix), "rows").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if have != layout {
		return &LayoutError{Prefix: prefix, Have: have}
	}
	return nil
}

// Rewritten notes that all rows were made by this version.
func (l *Log) Rewritten(ctx context.Context) error {
	if err := l.conn.View.HSet(ctx, l.meta, "rows", layout).Err(); err != nil {
		return fmt.Errorf("note the version of rows: %w", err)
	}
	return nil
}
