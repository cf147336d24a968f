package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// recorder makes services that record when they end.
type recorder struct {
	mu    sync.Mutex
	ended []string
}

// until makes a service that runs until it is told to stop, and takes some time to.
func (r *recorder) until(name string, takes time.Duration) service {
	return service{name, func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(takes) //nolint:forbidigo // the bubble's clock
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ended = append(r.ended, name)
		return nil
	}}
}

func quiet() *house { return &house{logger: slog.New(slog.DiscardHandler)} }

func TestServicesStopStageAfterStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- quiet().runAll(ctx, []service{r.until("api", 3*time.Second)}, []service{r.until("worker", 2*time.Second)},
				[]service{r.until("scheduler", 2*time.Second), r.until("projector", time.Second)})
		}()
		synctest.Wait()
		began := time.Now()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("runAll = %v, want nil after its context ended", err)
		}
		if want := []string{"api", "worker", "projector", "scheduler"}; !slices.Equal(r.ended, want) {
			t.Errorf("ended in the order %v, want %v", r.ended, want)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("the end took %s, want 7s: services of a stage stop together", took)
		}
	})
}

func TestAServiceThatEndsStopsTheOthersAndIsTheReason(t *testing.T) {
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"with an error": {broken, "worker: broken"},
		"without one":   {nil, "worker ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recorder
				err := quiet().runAll(t.Context(), []service{r.until("api", 0)},
					[]service{{"worker", func(context.Context) error { return tt.err }}}, []service{r.until("scheduler", 0)})
				if err == nil || err.Error() != tt.want || !errors.Is(err, tt.err) && tt.err != nil {
					t.Errorf("runAll = %v, want %s", err, tt.want)
				}
				if want := []string{"api", "scheduler"}; !slices.Equal(r.ended, want) {
					t.Errorf("ended %v, want %v", r.ended, want)
				}
			})
		})
	}
}

func TestAnErrorAtTheEndIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := quiet().runAll(ctx, []service{{"api", func(ctx context.Context) error {
		<-ctx.Done()
		return errors.New("a request was cut off")
	}}})
	if err == nil || !strings.Contains(err.Error(), "api: a request was cut off") {
		t.Errorf("runAll = %v, want what the API said", err)
	}
}
