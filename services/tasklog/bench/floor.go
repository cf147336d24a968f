package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// floor does for each task the least that any queue with a log of four events does, as plain
// pipelined commands and from one goroutine: four XADDs to a log, one to a work stream, group read,
// acknowledge, delete, lock and unlock. No queue of this shape can cost Redis less, and the figures of
// two machines are compared best by their ratio to it.
func (b bench) floor(ctx context.Context, s side, srv *server) (figures, error) {
	if err := srv.rdb.XGroupCreateMkStream(ctx, "work", "workers", "0").Err(); err != nil {
		return nil, err
	}
	return timed(ctx, s, srv, b.tasks, func() error {
		const batch = 200
		for n := 0; n < b.tasks; n += batch {
			if err := floorBatch(ctx, srv.rdb, n, min(batch, b.tasks-n)); err != nil {
				return err
			}
		}
		return nil
	})
}

func floorBatch(ctx context.Context, rdb *redis.Client, from, n int) error {
	body := `{"queue":"default","name":"noop","payload":{"data":"` + strings.Repeat("x", 89) + `"}}`
	pipe := rdb.Pipeline()
	for i := from; i < from+n; i++ {
		task := fmt.Sprintf("0199a1b2-7777-7000-8000-%012d", i)
		for _, typ := range []string{"TaskRequested", "TaskDue", "TaskStarted", "TaskCompleted"} {
			pipe.XAdd(ctx, &redis.XAddArgs{Stream: "log", Values: []string{"type", typ, "task", task, "v", "1", "data", body}})
		}
		pipe.XAdd(ctx, &redis.XAddArgs{Stream: "work", Values: []string{"task", task, "attempt", "1"}})
		pipe.SetNX(ctx, "lock:"+task, "dGhlIHZhbHVlIG9mIGE", 30*time.Second)
		pipe.Del(ctx, "lock:"+task)
	}
	read := pipe.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: "workers", Consumer: "c", Streams: []string{"work", ">"}, Count: int64(n), Block: -1,
	})
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	for _, m := range read.Val()[0].Messages {
		pipe.XAck(ctx, "work", "workers", m.ID)
		pipe.XDel(ctx, "work", m.ID)
	}
	_, err := pipe.Exec(ctx)
	return err
}
