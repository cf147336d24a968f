package testredis

import (
	"testing"

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
