package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Both schedulers decide at any time: no lease says which one may. One that stands still holds what it
// read before, and acts on it when it wakes.
func TestASchedulerThatStoodStillDoesNothingTwice(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	zombie := y.run("scheduler")
	y.worker("w1", 16)
	n := 0
	more := func(tasks int) {
		t.Helper()
		for range tasks {
			r := eventlog.Request{
				Task: fmt.Sprint("t", n), Label: events.Label{Queue: events.DefaultQueue, Name: "sleep"},
				Definition: events.Definition{MaxAttempts: 1, Payload: []byte(`{"ms":1}`)}, Delay: time.Duration(n%3) * 20 * time.Millisecond,
			}
			if _, err := y.log.Request(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	signal := func(s syscall.Signal) {
		t.Helper()
		if err := zombie.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	for range 12 {
		more(40)
		signal(syscall.SIGSTOP) // in the middle of these
		more(20)
		y.await("TaskCompleted by the other one", n, completed)
		signal(syscall.SIGCONT)
	}
	signal(syscall.SIGSTOP) // for longer than a lease, while somebody runs
	began, err := y.log.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	more(1)
	for now := began; now.Sub(began) < yardLease+yardLease/2; {
		if _, err := y.log.Follow(t.Context(), y.log.Partitions()[0], events.MaxID, 1, eventlog.MaxBlock); err != nil {
			t.Fatal(err)
		}
		if now, err = y.log.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGCONT)
	more(100)
	y.once(n)
	count := map[events.Type]int{}
	for _, e := range y.all {
		count[e.Data.Type()]++
	}
	for typ, have := range count {
		if have != n {
			t.Errorf("%d × %s of %d tasks", have, typ, n)
		}
	}
	if len(count) != 4 {
		t.Errorf("there are %v, want requests, dues, starts and completions alone", count)
	}
	y.nothingIsHeld()
}
