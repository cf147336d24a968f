package eventlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// insist asks again while Redis is away.
func insist(t *testing.T, f func() error) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := f()
		if err == nil {
			return
		}
		if !eventlog.Unavailable(err) || time.Now().After(deadline) {
			t.Fatal(err)
		}
		tick := time.NewTimer(20 * time.Millisecond)
		<-tick.C
	}
}

func TestTheLogGoesOnWithTheMasterThatSentinelsChose(t *testing.T) {
	master, url := testredis.StartSentinel(t)
	log := open(t, url, 1)
	h := newHand(t, log)
	h.running("before")
	if n, err := master.Client().Wait(t.Context(), 1, 5*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas, %v", n, err)
	}
	master.Kill()
	request := eventlog.Request{Task: "after", Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1}}
	insist(t, func() error { _, err := log.Request(t.Context(), request); return err })
	var entries []eventlog.Entry
	insist(t, func() (err error) {
		entries, err = log.Follow(t.Context(), log.Of("after"), events.ID{}, 10, time.Second)
		return err
	})
	if len(entries) != 4 || entries[3].Task != "after" {
		t.Errorf("the log has %v", entries)
	}
}

func TestAClusterIsAskedInItsParts(t *testing.T) {
	cluster := testredis.StartCluster(t, 3, false)
	log := open(t, cluster.URL(), 3)
	for _, task := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"} {
		if _, err := log.Request(t.Context(), eventlog.Request{
			Task: task, Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range log.Partitions() {
		n, err := log.Len(t.Context(), p)
		if err != nil || n == 0 {
			t.Errorf("partition %d has %d entries, %v", p.N, n, err)
		}
		keys, found := uint64(0), 0
		for first := true; first || keys != 0; first = false {
			var some []string
			if some, keys, err = log.Scan(t.Context(), p, "task:", keys, 100); err != nil {
				t.Fatal(err)
			}
			found += len(some)
		}
		if int64(found) != n {
			t.Errorf("partition %d has %d rows for %d entries", p.N, found, n)
		}
	}
	servers, err := log.Conn().Servers(t.Context())
	if err != nil || len(servers) != 3 {
		t.Errorf("%+v, %v", servers, err)
	}
	now, err := log.Now(t.Context())
	if err != nil || time.Since(now).Abs() > time.Minute {
		t.Errorf("%v, %v", now, err)
	}
	cluster.Masters[2].Kill()
	insist(t, func() error { return log.Conn().Ping(t.Context()) })
	for range 10 {
		if _, err := log.Now(t.Context()); err != nil {
			t.Errorf("with two of three masters there is no clock: %v", err)
		}
	}
	for _, m := range cluster.Masters[:2] {
		m.Kill()
	}
	if err := log.Conn().Ping(t.Context()); !eventlog.Unavailable(err) && !errors.Is(err, t.Context().Err()) {
		t.Errorf("a cluster that is away says %v", err)
	}
}
