package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"

	"github.com/tasklog/tasklog/events"
)

//go:embed trim.lua
var trimSource string

var trimScript = newScript(trimSource)

// MaxTrim is how many entries should be removed at a time, at the most: Redis stands still meanwhile.
const MaxTrim = 1000

// Held says who needs entries of the log that were to go.
type Held struct {
	By string    // "the views", "reader NAME", "consumer group NAME" or "the newest entry"
	At events.ID // the last entry that may go
}

// Trim removes the entries of a partition up to an id from the stream, and notes it. When somebody needs one
// of them there, none is removed, and the answer says who needs the earliest. It is for the caller to know
// that they are in an archive, or that nobody wants them, and that they are not more than MaxTrim.
//
// Who needs the stream from some entry on says so in the hash Partition.Readers: its name, and the id up to
// which it has read. The views, consumer groups of the stream and the newest entry count without that.
func (l *Log) Trim(ctx context.Context, p Partition, last events.ID) (*Held, error) {
	keys := []string{p.Events, p.Trimmed, p.Readers, p.View("head")}
	r, err := decide(ctx, l.conn.View, trimScript, keys, last.String(), last.Next().String())
	if err != nil {
		return nil, fmt.Errorf("trim partition %d up to %s: %w", p.N, last, err)
	}
	if r.str(0) == "ok" {
		return nil, nil
	}
	held := &Held{By: r.str(1)}
	if held.At, err = events.ParseID(r.str(2)); err != nil {
		return nil, fmt.Errorf("trim partition %d up to %s: %s is at no entry: %w", p.N, last, held.By, err)
	}
	if r.str(3) == "from" {
		held.At = held.At.Prev()
	}
	return held, nil
}

// Trimmed returns the id up to which entries were removed from the stream of a partition, and how many
// were; the zero ID and 0 when none was.
func (l *Log) Trimmed(ctx context.Context, p Partition) (events.ID, int64, error) {
	v, err := l.conn.View.HMGet(ctx, p.Trimmed, "id", "entries").Result()
	if err != nil {
		return events.ID{}, 0, fmt.Errorf("read %s: %w", p.Trimmed, err)
	}
	if v[0] == nil {
		return events.ID{}, 0, nil
	}
	id, err := events.ParseID(text(v[0]))
	if err != nil {
		return events.ID{}, 0, fmt.Errorf("read %s: id: %w", p.Trimmed, err)
	}
	n, err := strconv.ParseInt(text(v[1]), 10, 64)
	if err != nil {
		return events.ID{}, 0, fmt.Errorf("read %s: entries: %w", p.Trimmed, err)
	}
	return id, n, nil
}
