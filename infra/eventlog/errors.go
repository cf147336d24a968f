package eventlog

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

// errorsPerRead bounds what a read of errors holds at once: one may have some KiB.
const errorsPerRead = 200

// Errors returns, by id, what went wrong with those tasks that failed or wait to be tried again: what the newest
// event of each says. Only Redis is asked, for a list must not cost a read of an archive a task; so an error that
// has left the log there is not told, and neither is that of an attempt after which the task was given back.
func (l *Log) Errors(ctx context.Context, tasks []events.Task) (map[string]string, error) {
	told := map[string]string{}
	for some := range slices.Chunk(failing(tasks), errorsPerRead) {
		cmds, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, t := range some {
				id := t.Events[len(t.Events)-1].String()
				pipe.Do(ctx, "XRANGE", l.Of(t.ID).Events, id, id)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the errors of %d tasks: %w", len(some), err)
		}
		for _, cmd := range cmds {
			list, err := cmd.(*redis.Cmd).Slice()
			if err != nil {
				return nil, fmt.Errorf("read the errors of %d tasks: %w", len(some), err)
			}
			for _, e := range entries(list) {
				if d, ok := e.Data.(events.TaskFailed); ok {
					told[e.Task] = d.Error
				}
			}
		}
	}
	return told, nil
}

// failing are those of tasks that have an error to tell of.
func failing(tasks []events.Task) (some []events.Task) {
	for _, t := range tasks {
		if (t.State == events.StateFailed || t.State == events.StateRetrying) && len(t.Events) > 0 {
			some = append(some, t)
		}
	}
	return some
}
