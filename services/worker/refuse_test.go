package worker_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/worker"
)

func TestAWorkerThatIsStoppedWhileRedisTakesNoWritesLeavesItsEntriesAtOnce(t *testing.T) {
	server := testredis.Start(t)
	log := open(t, server.URL())
	h := &house{T: t, server: server, log: log, part: log.Partitions()[0]}
	rdb, due := server.Client(), h.part.Due(events.DefaultQueue)
	h.request(eventlog.Request{Task: "a"})
	waiting := rdb.ZRange(t.Context(), h.part.Waiting(events.DefaultQueue), 0, -1).Val()
	if done, err := log.Due(t.Context(), h.part, events.DefaultQueue, 1, waiting); err != nil || done.Done != 1 {
		t.Fatal(done, err)
	}
	entry := rdb.XRange(t.Context(), due, "-", "+").Val()[0]
	rdb.XTrimMaxLen(t.Context(), due, 0) // until the worker is there

	w := h.worker(worker.Config{LeaseTTL: time.Minute})
	worker.Handle(w, "test", func(context.Context, worker.Task[json.RawMessage]) (any, error) {
		t.Error("it ran")
		return nil, nil
	})
	stop := start(t, w.Run)
	h.until("it has its group", func() bool { return len(rdb.XInfoGroups(t.Context(), due).Val()) == 1 })
	_, err := rdb.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
		pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: due, Values: entry.Values})
		pipe.ConfigSet(t.Context(), "maxmemory", "1")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	pending := func() int64 { return rdb.XPending(t.Context(), due, eventlog.Group).Val().Count }
	h.until("it took the entry", func() bool { return pending() == 1 })
	began := time.Now()
	stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it ended after %s", took)
	}
	task, err := log.Task(t.Context(), "a")
	left := task.State == events.StateDue && pending() == 1         // Redis had refused to start it
	given := task.State == events.StateWaiting && task.Attempt == 0 // it had not been tried yet
	if err != nil || !left && !given {
		t.Errorf("%+v, %v; %d entries are left", task, err, pending())
	}
}
