package eventlog

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/tasklog/tasklog/events"
)

//go:embed promote.lua
var promoteSource string

var promoteScript = newScript(promoteSource)

// MaxItems is how many tasks one script call handles at the most, so that no call holds Redis for
// more than a few milliseconds.
const MaxItems = 200

// Promotion is a delayed task that may take its place among the waiting ones.
type Promotion struct {
	Task      string
	Queue     string
	Priority  int
	Requested events.ID
}

// Promote moves tasks of one queue whose due time has come, at most MaxItems, from delayed to
// waiting. It returns how many it moved; the others are not due, or gone.
func (l *Log) Promote(ctx context.Context, p Partition, queue string, tasks []Promotion) (int, error) {
	args := make([]any, 0, 1+3*len(tasks))
	args = append(args, queue)
	for _, t := range tasks {
		args = append(args, t.Task, t.Priority, t.Requested.String())
	}
	a, err := decide(ctx, l.conn.Decide, promoteScript, []string{p.Delayed, p.Waiting(queue), p.Ready}, args...)
	if err != nil {
		return 0, fmt.Errorf("promote %d tasks of queue %s: %w", len(tasks), queue, err)
	}
	return int(a.int(0)), nil
}
