package eventlog_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open connects to a Redis and opens the log with a number of partitions.
func open(t testing.TB, url string, partitions int) *eventlog.Log {
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
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	return log
}
