package scheduler_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
)

func TestLiveTasksAreSeldomLookedAtWhileNothingHappens(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	rdb := srv.Client()
	const every = 20 * time.Millisecond
	h := build(t, srv.URL(), scheduler.Config{ReconcileEvery: every}, 1)
	h.request(eventlog.Request{Task: "a", Delay: time.Hour})
	scans := func() int { return testredis.Calls(t, rdb)["scan"] }
	tick := time.Tick(every)
	passes, began := scans(), time.Now()
	for scans() < passes+5 { // each pass is one page
		if time.Since(began) > 10*time.Second {
			t.Fatal("it rests for good, and a ledger may lose a task meanwhile")
		}
		<-tick
	}
	if took := time.Since(began); took < 20*every {
		t.Errorf("five passes in %s: it did not rest", took)
	}
	if err := rdb.Del(t.Context(), h.p.Delayed).Err(); err != nil {
		t.Fatal(err)
	}
	for rdb.ZCard(t.Context(), h.p.Delayed).Val() == 0 {
		if time.Since(began) > 20*time.Second {
			t.Fatal("what a ledger lost is not put back")
		}
		<-tick
	}
}

func TestALogThatRedisForgotIsFoundOut(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	build(t, srv.URL(), scheduler.Config{ReconcileEvery: 20 * time.Millisecond}, 2)
	rdb := srv.Client()
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	tick, began := time.Tick(20*time.Millisecond), time.Now()
	for rdb.HGet(t.Context(), "tasklog:meta", "partitions").Val() != "1" {
		if time.Since(began) > 10*time.Second {
			t.Fatal("nobody found out that the log is lost")
		}
		<-tick
	}
}

func TestAWorkerThatWasKilledIsForgottenAfterADay(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	rdb := srv.Client()
	p := testredis.Open(t, srv.URL(), 1).Partitions()[0]
	ago := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(-d).UnixMilli(), 10) }
	if err := rdb.HSet(t.Context(), p.Workers, "killed", `{"worker":"killed","seenAt":`+ago(25*time.Hour)+`}`,
		"away", `{"worker":"away","seenAt":`+ago(23*time.Hour)+`}`).Err(); err != nil {
		t.Fatal(err)
	}
	build(t, srv.URL(), scheduler.Config{ReconcileEvery: 20 * time.Millisecond}, 1) // it looks at its start, and each hour
	tick, began := time.Tick(20*time.Millisecond), time.Now()
	for rdb.HExists(t.Context(), p.Workers, "killed").Val() {
		if time.Since(began) > 10*time.Second {
			t.Fatal("it is on the list for ever")
		}
		<-tick
	}
	if !rdb.HExists(t.Context(), p.Workers, "away").Val() {
		t.Error("one that may come back was forgotten")
	}
}
