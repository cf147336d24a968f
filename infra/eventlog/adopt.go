package eventlog

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed adopt.lua
var adoptSource string

var adoptScript = newUngated(adoptSource)

// MaxAdopt is how many entries one Adopt takes at the most.
const MaxAdopt = 200

// Adopt appends entries of another log to a partition, byte for byte, when gate shuts it. first is how many entries
// the partition has before the first of these; those that are there already are not appended again. Ids must
// rise. It returns ErrMoved when the gate holds something else.
func (l *Log) Adopt(ctx context.Context, p Partition, gate string, first int64, entries []Raw) error {
	args := []any{gate, first}
	for _, e := range entries {
		args = append(args, e.ID.String(), len(e.Fields))
		for _, f := range e.Fields {
			args = append(args, f)
		}
	}
	r, err := decide(ctx, l.conn.View, adoptScript, []string{p.Events, p.Rebuild}, args...)
	switch {
	case err != nil:
	case r.str(0) == "moved":
		err = ErrMoved
	case r.str(0) == "behind":
		err = fmt.Errorf("it has %d entries and not %d: somebody else removed some", r.int(1), first)
	}
	if err != nil {
		return fmt.Errorf("copy entries into %s: %w", p.Events, err)
	}
	return nil
}
