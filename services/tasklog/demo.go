package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/tasklog/tasklog/services/worker"
)

const demoHelp = `Demo handlers
  echo   completes with its payload as the result
  sleep  payload {"ms":500}: completes after that time
  fail   payload {"times":2,"message":"no"}: fails that many attempts, then completes
  any other name is logged and completed`

// addDemo adds the demo handlers.
func (h *house) addDemo(w *worker.Worker) {
	logger := h.of("worker")
	worker.Handle(w, "echo", func(_ context.Context, t worker.Task[json.RawMessage]) (any, error) {
		if len(t.Payload) == 0 {
			return json.RawMessage("null"), nil
		}
		return t.Payload, nil
	})
	worker.Handle(w, "sleep", func(ctx context.Context, t worker.Task[struct {
		Ms int64 `json:"ms"`
	}],
	) (any, error) {
		timer := time.NewTimer(time.Duration(t.Payload.Ms) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
			return map[string]int64{"sleptMs": t.Payload.Ms}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	worker.Handle(w, "fail", func(_ context.Context, t worker.Task[struct {
		Times   int    `json:"times"`
		Message string `json:"message"`
	}],
	) (any, error) {
		if t.Attempt > t.Payload.Times {
			return map[string]int{"failed": t.Payload.Times}, nil
		}
		if t.Payload.Message == "" {
			return nil, errors.New("told to fail")
		}
		return nil, errors.New(t.Payload.Message)
	})
	w.HandleAny(func(ctx context.Context, t worker.Task[json.RawMessage]) (any, error) {
		logger.LogAttrs(ctx, slog.LevelInfo, "demo handler completes a task",
			slog.String("name", t.Name), slog.String("task", t.ID), slog.Int("attempt", t.Attempt))
		return nil, nil
	})
}
