package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/client"
)

// A yard is a Redis with a scheduler, and worker processes that the test starts and ends.
type yard struct {
	*testing.T
	redis *testredis.Server
	log   *eventlog.Log
	env   []string
	all   []events.Event
}

const yardLease = 3 * time.Second

func newYard(t *testing.T) *yard {
	t.Helper()
	srv := testredis.Start(t)
	y := &yard{T: t, redis: srv, log: openLog(t, srv.URL()), env: []string{
		"TASKLOG_REDIS_URL=" + srv.URL(), "TASKLOG_LEASE_TTL=" + yardLease.String(), "TASKLOG_HEALTH_ADDR=127.0.0.1:0",
	}}
	y.run("scheduler")
	return y
}

func (y *yard) run(args ...string) *process {
	y.Helper()
	p := launch(y.T, y.TempDir(), y.env, args...)
	p.says(y.T, "health server listens")
	return p
}

func (y *yard) worker(id string, concurrency int) *process {
	y.Helper()
	return y.run("worker", "--demo", "--worker-id", id, "--concurrency", fmt.Sprint(concurrency))
}

// sleepers asks for n tasks that take a while each.
func (y *yard) sleepers(n int, d time.Duration) {
	y.Helper()
	c := client.New(y.log, client.Options{})
	defer func() { _ = c.Close() }() // it opened nothing
	for i := range n {
		task := client.Task{
			Name: "sleep", ID: fmt.Sprint("t", i), Payload: map[string]int64{"ms": d.Milliseconds()},
			Backoff: events.Backoff{Type: events.BackoffFixed, DelayMs: 1},
		}
		if _, err := c.Enqueue(y.Context(), task); err != nil {
			y.Fatal(err)
		}
	}
}

// await reads the log until n events match, and returns these.
func (y *yard) await(what string, n int, match func(events.Event) bool) []events.Event {
	y.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		var found []events.Event
		for _, e := range y.all {
			if match(e) {
				found = append(found, e)
			}
		}
		if len(found) >= n {
			return found
		}
		var after events.ID
		if len(y.all) > 0 {
			after = y.all[len(y.all)-1].ID
		}
		entries, err := y.log.Follow(y.Context(), y.log.Partitions()[0], after, 1000, eventlog.MaxBlock)
		if err != nil {
			y.Fatal(err)
		}
		for _, e := range entries {
			y.all = append(y.all, e.Event)
		}
	}
	y.Fatalf("no %d × %s among %d events", n, what, len(y.all))
	return nil
}

func started(worker string) func(events.Event) bool {
	return func(e events.Event) bool {
		d, ok := e.Data.(events.TaskStarted)
		return ok && d.Worker == worker
	}
}

func completed(e events.Event) bool { return e.Data.Type() == events.TypeTaskCompleted }

// once fails the test unless each of n tasks was completed, and just once.
func (y *yard) once(n int) {
	y.Helper()
	y.await("TaskCompleted", n, completed)
	count := map[string]int{}
	for _, e := range y.all {
		if completed(e) {
			count[e.Task]++
		}
	}
	for i := range n {
		if task := fmt.Sprint("t", i); count[task] != 1 {
			y.Errorf("task %s was completed %d times", task, count[task])
		}
	}
}

func (y *yard) nothingIsHeld() {
	y.Helper()
	p := y.log.Partitions()[0]
	if n := y.redis.Client().ZCard(y.Context(), p.Leases).Val(); n != 0 {
		y.Errorf("%d leases are left", n)
	}
	if keys := y.redis.Client().Keys(y.Context(), p.Lock("*")).Val(); len(keys) != 0 {
		y.Errorf("mutexes are left: %v", keys)
	}
}

func TestTasksOfAKilledWorkerRunAgainElsewhere(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	doomed := y.worker("doomed", 8)
	const n = 8
	y.sleepers(n, 1500*time.Millisecond)
	y.await("TaskStarted", n, started("doomed"))
	if err := doomed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	now, err := y.log.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	y.worker("heir", 8)
	for _, e := range y.await("TaskStarted by another worker", n, started("heir")) {
		if late := e.ID.Time().Sub(now); late > yardLease+5*time.Second {
			t.Errorf("task %s ran again %s after its worker was killed, want at most the lease and 5 s", e.Task, late)
		}
	}
	y.once(n)
	for _, e := range y.all {
		if d, ok := e.Data.(events.TaskFailed); ok && (d.Reason != events.ReasonAbandoned || d.Worker != "doomed") {
			t.Errorf("task %s failed: %+v", e.Task, d)
		}
	}
	y.nothingIsHeld()
}

func TestAWorkerThatSleptBeyondItsLeaseCannotComplete(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	sleepy := y.worker("sleepy", 1)
	y.sleepers(1, 2*time.Second)
	y.await("TaskStarted", 1, started("sleepy"))
	if err := sleepy.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	y.worker("awake", 1)
	y.await("TaskStarted by another worker", 1, started("awake"))
	if err := sleepy.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	sleepy.says(t, "fenced") // when it was stopped so early that it did not hear of its start, too
	y.once(1)
	sleepy.terminate(t) // it has tried all that it could
	for _, e := range y.all {
		if d, ok := e.Data.(events.TaskCompleted); ok && (d.Worker != "awake" || d.Attempt != 2) {
			t.Errorf("it was completed by %+v", d)
		}
	}
	y.nothingIsHeld()
}

func TestSIGTERMUnderLoadLosesNothingAndBurnsNoAttempt(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	const n = 300
	y.sleepers(n, 20*time.Millisecond)
	for i := range 3 { // a rolling restart
		w := y.worker(fmt.Sprint("w", i), 8)
		y.await("TaskStarted", 20, started(fmt.Sprint("w", i)))
		w.terminate(t)
		y.nothingIsHeld()
	}
	y.worker("last", 64)
	y.once(n)
	for _, e := range y.all {
		switch d := e.Data.(type) {
		case events.TaskFailed:
			t.Errorf("task %s failed: %+v", e.Task, d)
		case events.TaskStarted:
			if d.Attempt != 1 {
				t.Errorf("task %s needed attempt %d", e.Task, d.Attempt)
			}
		default:
		}
	}
	y.nothingIsHeld()
}
