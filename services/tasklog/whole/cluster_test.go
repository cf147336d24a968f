package whole_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/client"
	"github.com/tasklog/tasklog/services/verifier"
	"github.com/tasklog/tasklog/services/worker"
)

// holders returns the partitions that each master holds.
func holders(t *testing.T, c *testredis.Cluster, log *eventlog.Log) (held [][]eventlog.Partition) {
	t.Helper()
	held = make([][]eventlog.Partition, len(c.Masters))
	for _, p := range log.Partitions() {
		for i, m := range c.Masters {
			switch err := m.Client().Get(t.Context(), p.Lock("x")).Err(); {
			case err == nil || err == redis.Nil: //nolint:errorlint // go-redis returns it as it is
				held[i] = append(held[i], p)
			case !redis.HasErrorPrefix(err, "MOVED"):
				t.Fatal(err)
			}
		}
	}
	return held
}

// accept asks for n tasks and returns those that were accepted for sure, by their partition.
func accept(t *testing.T, log *eventlog.Log, c *client.Client, prefix string, n int) map[int][]string {
	t.Helper()
	accepted := map[int][]string{}
	for i := range n {
		id := fmt.Sprint(prefix, i)
		if _, err := c.Enqueue(t.Context(), client.Task{Name: "t", ID: id, Priority: i % 3}); err != nil {
			t.Fatal(err)
		}
		accepted[log.Of(id).N] = append(accepted[log.Of(id).N], id)
	}
	return accepted
}

// completed waits until all these tasks are.
func (h *house) completed(tasks ...[]string) {
	h.Helper()
	for _, id := range slices.Concat(tasks...) {
		h.until(id+" is completed", func() bool {
			t, err := h.log.Task(h.Context(), id)
			return err == nil && t.State == events.StateCompleted
		})
	}
}

func TestAClusterThatLosesAMasterStallsItsPartitionsAndForgetsNothing(t *testing.T) {
	cluster := testredis.StartCluster(t, 3, true)
	const partitions = 6
	log := testredis.Open(t, cluster.URL(), partitions)
	held := holders(t, cluster, log)
	for i, list := range held {
		if len(list) == 0 {
			t.Fatalf("master %d holds no partition, so that nothing is shown: %v", i, held)
		}
	}
	var slow atomic.Bool
	h := on(t, nil, cluster.URL(), 3*time.Second, func(ctx context.Context, _ worker.Task[json.RawMessage]) (any, error) {
		if slow.Load() {
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		return nil, context.Cause(ctx)
	})
	c := client.New(h.log, client.Options{By: "test"})
	defer c.Close() //nolint:errcheck // it owns no connection
	before := accept(t, log, c, "before-", 120)
	if len(before) != partitions {
		t.Fatalf("tasks went to %d partitions", len(before))
	}
	for n := range partitions {
		h.completed(before[n])
	}

	slow.Store(true)
	during := accept(t, log, c, "during-", 600)
	lost := cluster.Masters[1]
	if n, err := lost.Client().Wait(t.Context(), 1, 5*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas, %v", n, err)
	}
	lost.Kill()
	stalled := map[int]bool{}
	for _, p := range held[1] {
		stalled[p.N] = true
	}
	// The other masters' partitions go on: what is asked for now is taken and completed.
	for i := 0; i < 60; i++ {
		id := fmt.Sprint("meanwhile-", i)
		if p := log.Of(id); !stalled[p.N] {
			if _, err := c.Enqueue(t.Context(), client.Task{Name: "t", ID: id}); err != nil {
				t.Fatalf("partition %d, whose master is well: %v", p.N, err)
			}
			during[p.N] = append(during[p.N], id)
		}
	}
	for n := range partitions {
		if !stalled[n] {
			h.completed(during[n])
		}
	}
	// And theirs, when the replica has taken over.
	slow.Store(false)
	for n := range stalled {
		h.completed(during[n])
	}
	after := log.Partitions()[held[1][0].N]
	h.until("tasks are taken there again", func() bool {
		id := fmt.Sprint("after-", after.N)
		for i := 0; log.Of(id).N != after.N; i++ {
			id = fmt.Sprint("after-", i)
		}
		_, err := c.Enqueue(t.Context(), client.Task{Name: "t", ID: id})
		return err == nil
	})
	r, err := verifier.Run(t.Context(), open(t, cluster.URL()), verifier.Config{Patience: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK {
		t.Errorf("violations %v, differences %v", r.Violations, r.Differences)
	}
	t.Logf("%d events, %d rows, notes %v", r.Events, r.Compared.Rows, r.Notes)
}
