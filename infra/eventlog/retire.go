package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

//go:embed retire.lua
var retireSource string

var retireScript = newScript(retireSource)

// Retired tells what Retire did.
type Retired struct {
	Rows int           // that went
	More bool          // tasks are still too many
	Wait time.Duration // until the next of them may go; 0: at once
}

// Retire lets the rows of the tasks go that have been over for the longest, at most MaxItems, when more than
// keep of a queue are noted by Tally in a partition. Of tasks that ended less than age ago no row goes: see
// MinRetention. A task that is not over any more, or ended anew since, keeps its row.
func (l *Log) Retire(ctx context.Context, p Partition, queue string, keep int, age time.Duration) (Retired, error) {
	var count *redis.IntCmd
	var oldest *redis.StringSliceCmd
	_, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		count = pipe.ZCard(ctx, p.Finished(queue))
		oldest = pipe.ZRange(ctx, p.Finished(queue), 0, MaxItems-1)
		return nil
	})
	tasks := oldest.Val()
	if surplus := count.Val() - int64(keep); surplus < int64(len(tasks)) {
		tasks = tasks[:max(0, surplus)]
	}
	if err == nil && len(tasks) == 0 {
		return Retired{}, nil
	}
	var r reply
	if err == nil {
		keys := []string{p.Finished(queue), p.Retired}
		args := []any{queue, keep, ms(age)}
		for _, task := range tasks {
			keys, args = append(keys, p.Task(task)), append(args, task)
		}
		r, err = decide(ctx, l.conn.View, retireScript, keys, args...)
	}
	if err != nil {
		return Retired{}, fmt.Errorf("let rows of queue %s go in partition %d: %w", queue, p.N, err)
	}
	return Retired{Rows: int(r.int(0)), More: r.int(1) > 0, Wait: time.Duration(r.int(2)) * time.Millisecond}, nil
}

// RetiredUpto returns, of each queue of which rows went by Retire, the newest event of their tasks: a task of the
// queue that was over by then may have no row.
func (l *Log) RetiredUpto(ctx context.Context, p Partition) (map[string]events.ID, error) {
	fields, err := l.conn.View.HGetAll(ctx, p.Retired).Result()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.Retired, err)
	}
	upto := make(map[string]events.ID, len(fields))
	for queue, id := range fields {
		if upto[queue], err = events.ParseID(id); err != nil {
			return nil, fmt.Errorf("read %s: %s: %w; delete the field, and the rows are made again by `tasklog replay --state`", p.Retired, queue, err)
		}
	}
	return upto, nil
}
