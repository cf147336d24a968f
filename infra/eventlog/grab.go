package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"strings"
)

//go:embed grab.lua
var grabSource string

var grabScript = newUngated(grabSource)

// Grab takes what is due now from some queues of a partition, for a worker: an entry of each, in their order, and
// at most n. It does not wait. Errors are those of Take.
func (l *Log) Grab(ctx context.Context, p Partition, worker string, queues []string, n int) ([]Dispatch, error) {
	keys := make([]string, len(queues))
	for i, q := range queues {
		keys[i] = p.Due(q)
	}
	v, err := repeated(ctx, func() ([]any, error) { return grabScript.Run(ctx, l.conn.View, keys, worker, n).Slice() })
	if err != nil && strings.HasPrefix(err.Error(), "NOGROUP") {
		return nil, fmt.Errorf("take what is due: %w", ErrNoGroup)
	}
	if err != nil {
		return nil, fmt.Errorf("take what is due: %w", err)
	}
	return l.taken(p, v), nil
}
