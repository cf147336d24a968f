package worker_test

import (
	"context"
	"testing"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/worker"
)

// A row that is away for longer than a lease would cost the attempt, if anybody were told so.
func TestAHandlerRunsOnWhileRowsAreMadeAgainAndItsEndIsRecordedAfterwards(t *testing.T) {
	t.Parallel()
	h := build(t)
	w := h.worker(worker.Config{})
	enough := make(chan struct{})
	worker.Handle(w, "test", func(ctx context.Context, _ worker.Task[any]) (any, error) {
		<-enough
		return nil, context.Cause(ctx)
	})
	start(t, w.Run)
	h.request(eventlog.Request{Task: "a"})
	h.awaitType("a", "TaskStarted")
	rdb, row := h.server.Client(), h.part.Task("a")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(rdb.Set(t.Context(), h.part.Rebuild, "somebody", 0).Err())
	fields, err := rdb.HGetAll(t.Context(), row).Result()
	must(err)
	must(rdb.Del(t.Context(), row).Err())
	ends, err := rdb.ZScore(t.Context(), h.part.Leases, "a").Result()
	must(err)
	h.until("the lease has ended", func() bool {
		now, err := h.log.Now(t.Context())
		return err == nil && now.UnixMilli() > int64(ends)+lease.Milliseconds()
	})
	close(enough)
	must(rdb.HSet(t.Context(), row, fields).Err())
	must(rdb.Del(t.Context(), h.part.Rebuild).Err())
	h.ended("a", "Requested Due Started Completed")
}
