package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

// house is every service, running in this process.
type house struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// startServices starts a scheduler, a worker that does nothing for each task, and a projector.
func startServices(ctx context.Context, log *eventlog.Log, concurrency int, logger *slog.Logger) (*house, error) {
	sched, err := scheduler.New(log, scheduler.Config{}, logger, nil)
	if err != nil {
		return nil, err
	}
	w, err := worker.New(log, worker.Config{Concurrency: concurrency, Grace: time.Second}, logger)
	if err != nil {
		return nil, err
	}
	proj, err := projector.New(log, projector.Config{}, logger, nil)
	if err != nil {
		return nil, err
	}
	worker.Handle(w, "noop", func(context.Context, worker.Task[json.RawMessage]) (any, error) {
		return nil, nil
	})
	ctx, stop := context.WithCancel(ctx)
	h := &house{stop: stop}
	for _, run := range []func(context.Context) error{sched.Run, w.Run, proj.Run} {
		h.wg.Go(func() {
			if err := run(ctx); err != nil {
				logger.LogAttrs(ctx, slog.LevelError, "a service ended", slog.Any("error", err))
			}
		})
	}
	return h, nil
}

func (h *house) close() {
	h.stop()
	h.wg.Wait()
}
