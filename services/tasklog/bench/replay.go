package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/rebuilder"
)

// replayState makes the state of tasks that are over, four events each, again from a log that has nothing else.
func (b bench) replayState(ctx context.Context, s side, srv *server) (figures, error) {
	log := s.(*tasklog).log
	if err := record(ctx, srv, log.Partitions()[0], b.tasks); err != nil {
		return nil, err
	}
	return timed(ctx, s, srv, b.tasks, func() error {
		sum, err := rebuilder.Run(ctx, log, rebuilder.Config{LeaseTTL: 30 * time.Second})
		if n := sum.Tasks[events.StateCompleted]; err == nil && n != int64(b.tasks) {
			err = fmt.Errorf("%d tasks were made again, want %d: %v", n, b.tasks, sum.Told)
		}
		return err
	})
}

// replayViews makes the views of tasks that are over, four events each, again. It tells the most that the heap held,
// which does not depend on how long the log is.
func (b bench) replayViews(ctx context.Context, s side, srv *server) (figures, error) {
	log := s.(*tasklog).log
	if err := record(ctx, srv, log.Partitions()[0], b.tasks); err != nil {
		return nil, err
	}
	var sum projector.Summary
	var most uint64
	f, err := timed(ctx, s, srv, b.tasks, func() (err error) {
		peak := peakHeap()
		sum, err = projector.Rebuild(ctx, log, projector.Options{})
		most = peak()
		if err == nil && (sum.Entries != 4*int64(b.tasks) || len(sum.Differences) > 0) {
			err = fmt.Errorf("of %d tasks: %+v", b.tasks, sum)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return f.and(figures{
		"eventsPerSec": float64(sum.Entries) / sum.Took.Seconds(),
		"peakHeapMiB":  float64(most) / (1 << 20),
	}), nil
}

// peakHeap watches the heap of this process until it is called: then it returns the most bytes that were in use.
func peakHeap() (stop func() uint64) {
	runtime.GC()
	done := make(chan struct{})
	most := make(chan uint64)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		var top uint64
		for {
			metrics.Read(sample)
			top = max(top, sample[0].Value.Uint64())
			select {
			case <-done:
				most <- top
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 { close(done); return <-most }
}

// record writes the log of tasks that are over.
func record(ctx context.Context, srv *server, p eventlog.Partition, tasks int) error {
	const atOnce = 250
	now := time.Now().UnixMilli() - int64(tasks)
	for from := 0; from < tasks; from += atOnce {
		pipe := srv.rdb.Pipeline()
		for i := from; i < min(from+atOnce, tasks); i++ {
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
					return err
				}
				pipe.Do(ctx, "XADD", p.Events, fmt.Sprintf("%d-%d", at, seq),
					events.FieldType, string(typ), events.FieldTask, fmt.Sprint("task-", i), events.FieldVersion, version, events.FieldData, data)
			}
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
