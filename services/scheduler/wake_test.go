package scheduler_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
)

func TestTasksOfAQuietQueueCostASchedulerNoLook(t *testing.T) {
	srv := testredis.Start(t)
	h := build(t, srv.URL(), scheduler.Config{}, 1)
	h.worker(10)
	life := func(task string) {
		h.request(eventlog.Request{Task: task})
		a := h.start(task, time.Minute)
		if _, err := h.log.Complete(t.Context(), a, 0, nil); err != nil {
			t.Fatal(err)
		}
	}
	life("first")
	looks := func() int { return testredis.Calls(t, srv.Client())["smembers"] / 2 } // for queues that are ready, and paused
	const n = 50
	before := looks()
	for i := range n {
		life(fmt.Sprint("t", i))
	}
	// What was asked for is handed over as the log tells of it; that it was due, its start and its end mean nothing.
	// A look comes when knowledge of the workers was old, and at a tick.
	if did := looks() - before; did > n/5 {
		t.Errorf("%d looks for %d tasks", did, n)
	}
}

func TestAStartMakesRoomForWhatWaitsAtOnce(t *testing.T) {
	srv := testredis.Start(t)
	h := build(t, srv.URL(), scheduler.Config{}, 1)
	h.worker(1)
	const n = 40
	for i := range n {
		h.request(eventlog.Request{Task: fmt.Sprint("t", i)})
	}
	began := time.Now()
	for i := range n {
		h.start(fmt.Sprint("t", i), time.Minute)
	}
	h.awaitType(fmt.Sprint("t", n-1), events.TypeTaskStarted)
	if took := time.Since(began); took > n*250*time.Millisecond { // a start that is not heard costs half a second
		t.Errorf("%d tasks, one after the other, took %s", n, took)
	}
}

func TestAQuietQueueThatFillsAtOnceIsDispatchedInOneStep(t *testing.T) {
	srv := testredis.Start(t)
	h := build(t, srv.URL(), scheduler.Config{}, 1)
	h.worker(64)
	h.request(eventlog.Request{Task: "first"})
	h.start("first", time.Minute) // after that nothing waits
	const n = 40
	list := make([]eventlog.Request, n)
	for i := range list {
		list[i] = eventlog.Request{
			Task: fmt.Sprint("t", i), Label: events.Label{Queue: "default", Name: "test"}, Definition: events.Definition{MaxAttempts: 1},
		}
	}
	for _, r := range h.log.RequestMany(t.Context(), list) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	at := h.awaitType("t0", events.TypeTaskDue).ID.Ms // all events of a call have the ms that it decided by
	for i := range n {
		if e := h.awaitType(fmt.Sprint("t", i), events.TypeTaskDue); e.ID.Ms != at {
			t.Fatalf("task %d became due %d ms after the first one, in a step of its own", i, e.ID.Ms-at)
		}
	}
}
