package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/rebuilder"
)

// replayState makes the state of tasks that are over, four events each, again from a log that has nothing else.
func (b bench) replayState(ctx context.Context) (row, error) {
	srv, err := startServer(ctx, false)
	if err != nil {
		return row{}, err
	}
	defer srv.stop()
	conn, err := eventlog.Connect(srv.url)
	if err != nil {
		return row{}, err
	}
	defer conn.Close() //nolint:errcheck // the benchmark is over
	log, err := eventlog.Open(ctx, conn, eventlog.Config{})
	if err != nil {
		return row{}, err
	}
	const atOnce = 250
	now := time.Now().UnixMilli() - int64(b.tasks)
	for from := 0; from < b.tasks; from += atOnce {
		pipe := srv.rdb.Pipeline()
		for i := from; i < min(from+atOnce, b.tasks); i++ {
			at, label := now+int64(i), events.Label{Queue: "default", Name: "noop"}
			for seq, d := range []events.Data{
				events.TaskRequested{Label: label, DueAt: at, Definition: events.Definition{
					Payload: []byte(`{"data":"` + strings.Repeat("x", 89) + `"}`), MaxAttempts: 5, RequestID: fmt.Sprint("r", i), // 100 bytes
				}},
				events.TaskDue{Label: label, Attempt: 1, DueAt: at, From: events.StateWaiting},
				events.TaskStarted{Label: label, Attempt: 1, Worker: "w", Token: fmt.Sprint("token-", i)},
				events.TaskCompleted{Label: label, Attempt: 1, Worker: "w"},
			} {
				typ, version, data, err := events.Encode(d)
				if err != nil {
					return row{}, err
				}
				pipe.Do(ctx, "XADD", log.Partitions()[0].Events, fmt.Sprintf("%d-%d", at, seq),
					events.FieldType, string(typ), events.FieldTask, fmt.Sprint("task-", i), events.FieldVersion, version, events.FieldData, data)
			}
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return row{}, err
		}
	}
	before, err := srv.spent(ctx)
	if err != nil {
		return row{}, err
	}
	sum, err := rebuilder.Run(ctx, log, rebuilder.Config{LeaseTTL: 30 * time.Second})
	if err != nil {
		return row{}, err
	}
	if n := sum.Tasks[events.StateCompleted]; n != int64(b.tasks) {
		return row{}, fmt.Errorf("%d tasks were made again, want %d: %v", n, b.tasks, sum.Told)
	}
	after, err := srv.spent(ctx)
	if err != nil {
		return row{}, err
	}
	return b.row("replay --state, 4 events a task", before, after, after.at), nil
}
