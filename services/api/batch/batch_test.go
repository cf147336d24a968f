package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/batch"
	"github.com/tasklog/tasklog/services/projector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// project keeps the views up with a log until the test ends.
func project(t *testing.T, log *eventlog.Log) {
	t.Helper()
	p, err := projector.New(log, projector.Config{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

func TestWhatIsRefusedStopsNoOther(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	project(t, log)
	for _, task := range []string{"a", "b", "c", "d"} {
		if _, err := log.Request(t.Context(), eventlog.Request{
			Task: task, Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1}, Delay: time.Hour,
		}); err != nil {
			t.Fatal(err)
		}
	}
	store, filter := views.New(log), views.Filter{Queue: "q", State: events.StateDelayed}
	if err := store.Await(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	cancel, retry := batch.Cancel(log, "test", ""), batch.Retry(log, "test")
	p, err := batch.Do(t.Context(), store, filter, batch.Cancellable, func(ctx context.Context, task string) error {
		switch task {
		case "b":
			return retry(ctx, task)
		case "c":
			return fmt.Errorf("cancel: %w", eventlog.ErrNotFound)
		}
		return cancel(ctx, task)
	})
	want := `{2 [{c there is no such task} {b task b is delayed and cannot be retried}] }`
	if got := fmt.Sprint(p); err != nil || got != want {
		t.Errorf("Do = %s, %v, want %s", got, err, want)
	}

	broken := errors.New("broken")
	_, err = batch.Do(t.Context(), store, filter, batch.Cancellable, func(context.Context, string) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("another error is told as %v", err)
	}
}
