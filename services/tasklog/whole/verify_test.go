package whole_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/audit"
	"github.com/tasklog/tasklog/services/client"
	"github.com/tasklog/tasklog/services/verifier"
	"github.com/tasklog/tasklog/services/worker"
)

// busy fails some attempts, and has some tasks wait.
func busy(_ context.Context, t worker.Task[json.RawMessage]) (any, error) {
	switch n := len(t.ID) + int(t.ID[len(t.ID)-1]); {
	case n%5 == 0 && t.Attempt == 1:
		return nil, errors.New("not yet")
	case n%7 == 0:
		return nil, worker.NonRetryable(errors.New("never"))
	}
	return nil, nil
}

func TestABusySystemIsVerifiedWhileItRuns(t *testing.T) {
	srv := testredis.Start(t)
	h := on(t, srv, srv.URL(), 0, busy)
	c := client.New(h.log, client.Options{By: "test"})
	defer c.Close() //nolint:errcheck // it owns no connection
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for k := range 4 {
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				h.ask(ctx, c, fmt.Sprintf("task-%d-%d", k, n), n)
			}
		})
	}
	for range 4 {
		r, err := verifier.Run(t.Context(), h.log, verifier.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK {
			t.Errorf("violations %v, differences %v", r.Violations, r.Differences)
		}
		t.Logf("%d events, %d rows, %d places, notes %v", r.Events, r.Compared.Rows, r.Compared.Ledgers, r.Notes)
	}
	stop()
	work.Wait()
	h.settled()
}

// ask asks for a task, now and then delayed or urgent, and cancels one in a hundred.
func (h *house) ask(ctx context.Context, c *client.Client, id string, n int) {
	h.Helper()
	task := client.Task{ID: id, Name: "test", Payload: n, Queue: []string{"a", "b"}[n%2], Priority: n % 3}
	if n%10 == 0 {
		task.Delay = 50 * time.Millisecond
	}
	_, err := c.Enqueue(ctx, task)
	if err == nil && n%100 == 99 {
		err = c.Cancel(ctx, id, "not wanted")
	}
	if _, over := errors.AsType[*eventlog.RefusedError](err); err != nil && !over && ctx.Err() == nil {
		h.Error(err)
	}
}

// settled waits until every task is final, and proves it.
func (h *house) settled() {
	h.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		r, err := verifier.Run(h.Context(), h.log, verifier.Config{Settled: true, Patience: 100 * time.Millisecond})
		if err != nil {
			h.Fatal(err)
		}
		if r.OK {
			for _, i := range []audit.Invariant{audit.Closer, audit.Early, audit.Token, audit.Settled, audit.Cancelled} {
				if r.Checked[i] == 0 {
					h.Errorf("no example of %s", i)
				}
			}
			if n := r.Types[events.TypeTaskCompleted] + r.States[events.StateFailed] + r.States[events.StateCancelled]; n != r.Tasks {
				h.Errorf("%d tasks, %d ends", r.Tasks, n)
			}
			return
		}
		if time.Now().After(deadline) {
			h.Fatalf("violations %v, differences %v", r.Violations, r.Differences)
		}
	}
}
