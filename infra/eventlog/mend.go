package eventlog

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed mend.lua
var mendSource string

var mendScript = newScript(mendSource)

// Mend holds a task's row against delayed, waiting, the dispatch stream and the leases, and puts
// back what is missing there. It returns the name of what was put back, or "".
func (l *Log) Mend(ctx context.Context, p Partition, task, queue string) (string, error) {
	keys := []string{p.Task(task), p.Delayed, p.Waiting(queue), p.Ready, p.Due(queue), p.Leases}
	r, err := decide(ctx, l.conn.Decide, mendScript, keys, task, queue)
	if err != nil {
		return "", fmt.Errorf("mend task %s: %w", task, err)
	}
	return r.str(0), nil
}
