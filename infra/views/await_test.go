package views_test

import (
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/testredis"
)

func TestViewsThatLagAreWaitedForAMoment(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 2)
	for _, task := range []string{"a", "b", "c"} {
		h.request(task, "q", "n", 0)
	}
	if err := h.store.Await(t.Context(), time.Millisecond); err != nil {
		t.Errorf("where nobody makes views: %v", err)
	}
	over := make(chan error, 1)
	go func() { over <- h.store.Await(t.Context(), time.Minute) }()
	for _, p := range h.log.Partitions() {
		select {
		case err := <-over:
			t.Fatalf("it did not wait for partition %d: %v", p.N, err)
		default:
		}
		f := h.load(p)
		h.read(f, p, 100)
		if err := h.store.Save(t.Context(), f, owner, ttl); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-over:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for views that have everything")
	}
}
