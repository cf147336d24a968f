package eventlog

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed forget.lua
var forgetSource string

var forgetScript = newUngated(forgetSource)

// Forget takes the consumer of a worker that has stopped out of the group of a queue, unless it has
// entries left: another worker claims those. It reports whether the consumer is gone.
func (l *Log) Forget(ctx context.Context, p Partition, queue, worker string) (bool, error) {
	r, err := decide(ctx, l.conn.View, forgetScript, []string{p.Due(queue)}, worker)
	if err != nil {
		return false, fmt.Errorf("forget worker %s of queue %s: %w", worker, queue, err)
	}
	return r.int(0) == 1, nil
}
