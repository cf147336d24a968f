package whole_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
	"github.com/tasklog/tasklog/infra/testredis/network"
	"github.com/tasklog/tasklog/services/worker"
)

func TestASlowAndNarrowNetworkLosesNoLease(t *testing.T) {
	const lease = 3 * time.Second
	srv := testredis.Start(t)
	net := network.Start(t, srv.Addr())
	h := on(t, srv, net.URL(), lease, func(ctx context.Context, task worker.Task[json.RawMessage]) (any, error) {
		if !strings.HasPrefix(task.ID, "long") {
			return nil, nil
		}
		select {
		case <-time.After(lease + lease/2):
			return nil, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	net.Slow(network.Replies, 200*time.Millisecond, 100*time.Millisecond)
	net.Narrow(network.Requests, 50)
	net.Narrow(network.Replies, 50)
	var tasks []string
	ask := func(name string) {
		tasks = append(tasks, name)
		h.post(fmt.Sprintf(`{"taskName":"t","customJobId":%q,"payload":%q}`, name, strings.Repeat("x", 300)))
	}
	for i := range 8 {
		ask(fmt.Sprint("long", i))
	}
	for i := range 60 { // straight into the log: the API would take 0.2 s for each
		tasks = append(tasks, fmt.Sprint("t", i))
		r := eventlog.Request{Task: tasks[len(tasks)-1], Label: events.Label{Queue: events.DefaultQueue, Name: "t"}}
		r.MaxAttempts = 1
		if _, err := h.log.Request(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	h.smooth(tasks...)
}

// Every service meets every fault in each script that it calls, in the middle of its work.
func TestFaultsOfEveryScriptCostNoServiceAnything(t *testing.T) {
	srv := testredis.Start(t)
	proxy := faults.Start(t, srv.Addr())
	h := on(t, srv, proxy.URL(), 20*time.Second, func(context.Context, worker.Task[json.RawMessage]) (any, error) { return nil, nil })
	var tasks []string
	hits := 0
	for i, script := range []string{"request.lua", "due.lua", "start.lua", "finish.lua", "save.lua", "lease.lua", "promote.lua"} {
		for j, f := range faults.Every(2) {
			named := f.Only
			f.Only = func(c faults.Command) bool { return c.Script == script && (named == nil || named(c)) }
			proxy.Set(f)
			for k, delay := range []int{0, 1} {
				task := fmt.Sprintf("t%d-%d-%d", i, j, k)
				tasks = append(tasks, task)
				h.post(fmt.Sprintf(`{"taskName":"t","customJobId":%q,"delayMs":%d}`, task, delay))
			}
			h.stories(len(tasks))
			if now := proxy.Set(faults.Fault{}); now > hits {
				hits = now
			} else if script != "lease.lua" && script != "save.lua" && script != "promote.lua" { // these are called at their own times
				t.Errorf("%s of %s did not happen", f, script)
			}
		}
	}
	h.smooth(tasks...)
}
