package scheduler_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
)

// until waits until something holds.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, began := time.Tick(20*time.Millisecond), time.Now()
	for !ok() {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("it did not happen: %s", what)
		}
		<-tick
	}
}

func TestLiveTasksAreSeldomLookedAtWhileNothingHappens(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	rdb := srv.Client()
	const every = 20 * time.Millisecond
	h := build(t, srv.URL(), scheduler.Config{ReconcileEvery: every}, 1)
	h.request(eventlog.Request{Task: "a", Delay: time.Hour})
	scans := func() int { return testredis.Calls(t, rdb)["scan"] }
	passes, began := scans(), time.Now()
	until(t, "five passes", func() bool { return scans() >= passes+5 }) // each is one page; a ledger may lose a task meanwhile
	if took := time.Since(began); took < 20*every {
		t.Errorf("five passes in %s: it did not rest", took)
	}
	if err := rdb.Del(t.Context(), h.p.Delayed).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "what the ledger lost is put back", func() bool { return rdb.ZCard(t.Context(), h.p.Delayed).Val() > 0 })
}

func TestALogThatRedisForgotIsFoundOut(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	build(t, srv.URL(), scheduler.Config{ReconcileEvery: 20 * time.Millisecond}, 2)
	rdb := srv.Client()
	if err := rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "somebody finds out that the log is lost", func() bool {
		return rdb.HGet(t.Context(), "tasklog:meta", "partitions").Val() == "1"
	})
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
	until(t, "it is on the list no more", func() bool { return !rdb.HExists(t.Context(), p.Workers, "killed").Val() })
	if !rdb.HExists(t.Context(), p.Workers, "away").Val() {
		t.Error("one that may come back was forgotten")
	}
}
