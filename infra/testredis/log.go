package testredis

import (
	"context"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Connect connects to a Redis until the test ends.
func Connect(t testing.TB, url string) *eventlog.Conn {
	t.Helper()
	conn, err := eventlog.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// Open opens the log in a Redis until the test ends. Of 0 partitions means as many as it has, or one.
func Open(t testing.TB, url string, partitions int) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), Connect(t, url), eventlog.Config{Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// Retire lets the rows of tasks go that are over, but those of the newest of each queue and partition.
func Retire(ctx context.Context, log *eventlog.Log, keep int) error {
	for _, p := range log.Partitions() {
		if err := tally(ctx, log, p); err != nil {
			return err
		}
		queues, err := log.Conn().View.SMembers(ctx, p.Queues).Result()
		if err != nil {
			return err
		}
		for _, queue := range queues {
			for more := true; more; {
				r, err := log.Retire(ctx, p, queue, keep, 0)
				if err != nil {
					return err
				}
				more = r.More
			}
		}
	}
	return nil
}

// tally notes which tasks of a partition are over.
func tally(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error {
	for {
		at, err := log.Tallied(ctx, p)
		if err != nil {
			return err
		}
		entries, err := log.Range(ctx, p, at, events.MaxID, eventlog.MaxItems)
		if err != nil || len(entries) == 0 {
			return err
		}
		var list []eventlog.Ending
		for _, e := range entries {
			if d, ok := eventlog.NewEnding(e); ok {
				list = append(list, d)
			}
		}
		if err := log.Tally(ctx, p, at, entries[len(entries)-1].ID, list); err != nil {
			return err
		}
	}
}

// Write puts events into a partition as they are, past every check.
func Write(t testing.TB, log *eventlog.Log, p eventlog.Partition, list ...events.Event) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for chunk := range slices.Chunk(list, 1000) {
		_, err := log.Conn().View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, e := range chunk {
				typ, version, data, err := events.Encode(e.Data)
				if err != nil {
					return err
				}
				pipe.XAdd(ctx, &redis.XAddArgs{Stream: p.Events, ID: e.ID.String(), Values: []any{
					events.FieldType, string(typ), events.FieldTask, e.Task, events.FieldVersion, version, events.FieldData, data,
				}})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
