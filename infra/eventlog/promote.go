package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

//go:embed promote.lua
var promoteSource string

var promoteScript = newScript(promoteSource)

// MaxItems is how many tasks one script call handles at the most, so that no call holds Redis for
// more than a few milliseconds.
const MaxItems = 128

// Promotion is a delayed task that may take its place among the waiting ones.
type Promotion struct {
	Task      string
	Queue     string
	Priority  int
	Requested events.ID
}

// Promotions returns what the rows of tasks of one partition say of them; those without a row, or with one
// that no decision wrote, are left out.
func (l *Log) Promotions(ctx context.Context, p Partition, ids []string) ([]Promotion, error) {
	cmds, err := l.ofRows(ctx, p, ids, func(pipe redis.Pipeliner, row string) { pipe.HMGet(ctx, row, "queue", "priority", "requested") })
	if err != nil {
		return nil, err
	}
	list := make([]Promotion, 0, len(ids))
	for i, cmd := range cmds {
		if values := cmd.(*redis.SliceCmd).Val(); len(values) == 3 {
			queue, priority, requested := text(values[0]), text(values[1]), text(values[2])
			n, bad := strconv.Atoi(priority)
			id, worse := events.ParseID(requested)
			if queue != "" && bad == nil && worse == nil {
				list = append(list, Promotion{Task: ids[i], Queue: queue, Priority: n, Requested: id})
			}
		}
	}
	return list, nil
}

// Promote moves tasks of one queue whose due time has come, at most MaxItems, from delayed to
// waiting. It returns how many it moved; the others are not due, or gone.
func (l *Log) Promote(ctx context.Context, p Partition, queue string, tasks []Promotion) (int, error) {
	args := make([]any, 0, 1+3*len(tasks))
	args = append(args, queue)
	for _, t := range tasks {
		args = append(args, t.Task, t.Priority, t.Requested.String())
	}
	a, err := decide(ctx, l.conn.Batch, promoteScript, []string{p.Delayed, p.Waiting(queue), p.Ready}, args...)
	if err != nil {
		return 0, fmt.Errorf("promote %d tasks of queue %s: %w", len(tasks), queue, err)
	}
	return int(a.int(0)), nil
}
