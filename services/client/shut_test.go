package client_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/client"
)

func TestNobodyHasPatienceWithALogThatWasMoved(t *testing.T) {
	h := build(t)
	if err := h.log.Swap(t.Context(), h.log.Partitions()[0], "", eventlog.CopyGate(eventlog.GateMoved, "me", "there")); err != nil {
		t.Fatal(err)
	}
	c := h.another(client.Options{Patience: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := c.Enqueue(ctx, client.Task{Name: "n"}); !eventlog.Closed(err) {
		t.Errorf("got %v", err)
	}
	n := 0
	for _, err := range c.EnqueueMany(ctx, slices.Values([]client.Task{{Name: "n"}, {Name: "n"}})) {
		if n++; !eventlog.Closed(err) {
			t.Errorf("got %v", err)
		}
	}
	if n != 2 || ctx.Err() != nil {
		t.Errorf("%d answers, %v", n, ctx.Err())
	}
}

func TestALogThatIsBeingMovedIsWaitedFor(t *testing.T) {
	h := build(t)
	p, gate := h.log.Partitions()[0], eventlog.CopyGate(eventlog.GateMoving, "me", "there")
	if err := h.log.Swap(t.Context(), p, "", gate); err != nil {
		t.Fatal(err)
	}
	c := h.another(client.Options{Patience: time.Hour})
	asked := make(chan error, 1)
	go func() {
		_, err := c.Enqueue(t.Context(), client.Task{Name: "n"})
		asked <- err
	}()
	h.until("it was refused", func() bool {
		return strings.Contains(h.redis.Client().Info(t.Context(), "errorstats").Val(), "errorstat_REBUILDING")
	})
	if err := h.log.Swap(t.Context(), p, gate, ""); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
}
