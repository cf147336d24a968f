package worker_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/worker"
)

// A worker in a container may start before its Redis does.
func TestConnectWaitsForARedisThatComesLater(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	server.Kill()
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	connected := make(chan struct{})
	go func() {
		w, err := worker.Connect(ctx, server.URL(), worker.Config{})
		close(connected)
		if err != nil {
			ran <- err
			return
		}
		worker.Handle(w, "test", func(context.Context, worker.Task[any]) (any, error) { return nil, nil })
		ran <- w.Run(ctx)
	}()
	server.Missed(t)
	select {
	case <-connected:
		t.Error("Connect returned before Redis came")
	default:
	}
	server.Restart(t)
	<-connected
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestConnectEndsWithItsContextAndSaysWhatItWaitedFor(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	server.Kill()
	ctx, stop := context.WithCancel(t.Context())
	connected := make(chan error, 1)
	go func() {
		_, err := worker.Connect(ctx, server.URL(), worker.Config{})
		connected <- err
	}()
	server.Missed(t)
	server.Missed(t) // so it knows that it was, the first time
	stop()
	if err := <-connected; !errors.Is(err, context.Canceled) || !eventlog.Unavailable(err) {
		t.Errorf("%v, want that the context ended and that Redis did not answer", err)
	}
}

func TestConnectDoesNotWaitForARedisThatLetsItNotIn(t *testing.T) {
	t.Parallel()
	if _, err := worker.Connect(t.Context(), "http://127.0.0.1", worker.Config{}); err == nil {
		t.Error("that is no URL of a Redis")
	}
	url := "redis://nobody:x@" + testredis.Start(t).Addr()
	if _, err := worker.Connect(t.Context(), url, worker.Config{}); err == nil || eventlog.Unavailable(err) {
		t.Errorf("%v, want that Redis lets nobody in", err)
	}
}

func TestConnectRefusesARedisThatForgets(t *testing.T) {
	server := testredis.Start(t)
	server.Set(t, "maxmemory-policy", "allkeys-lru")
	_, err := worker.Connect(t.Context(), server.URL(), worker.Config{})
	if err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("%v, want what its policy should be", err)
	}
}
