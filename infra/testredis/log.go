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
