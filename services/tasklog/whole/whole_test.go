// Package whole_test holds the whole system, every service in one process, to what only the whole
// can promise: how soon things happen, and how little happens when nothing does.
package whole_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

func TestMain(m *testing.M) {
	// While a server is away go-redis looks for it once a second, and only then sees that its pool was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// A house is a Redis and every service on it.
type house struct {
	*testing.T
	redis   *testredis.Server
	log     *eventlog.Log
	base    string // of the API
	client  *http.Client
	started chan time.Time // when the handler of a task began
}

// A handler is what runs every task of a house.
type handler = func(context.Context, worker.Task[json.RawMessage]) (any, error)

// build returns a house that tells when a handler begins, which takes no time.
func build(t *testing.T) *house {
	t.Helper()
	started := make(chan time.Time, 1000)
	srv := testredis.Start(t)
	h := on(t, srv, srv.URL(), 0, func(context.Context, worker.Task[json.RawMessage]) (any, error) {
		started <- time.Now()
		return nil, nil
	})
	h.started = started
	return h
}

// on returns a house whose services reach a Redis by a URL. The house itself reaches it directly, where it is given.
func on(t *testing.T, srv *testredis.Server, url string, lease time.Duration, work handler) *house {
	t.Helper()
	h := blind(t, srv, url, lease, work)
	project, err := projector.New(open(t, url), projector.Config{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	h.run(project.Run)
	return h
}

// blind is on without a projector.
func blind(t *testing.T, srv *testredis.Server, url string, lease time.Duration, work handler) *house {
	t.Helper()
	direct := url
	if srv != nil {
		direct = srv.URL()
	}
	h := &house{T: t, redis: srv, log: open(t, direct), client: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(h.client.CloseIdleConnections)
	log := open(t, url)
	quiet := slog.New(slog.DiscardHandler)
	sched, err := scheduler.New(log, scheduler.Config{LeaseTTL: lease, RetentionCount: 100_000}, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	hands, err := worker.New(log, worker.Config{LeaseTTL: lease}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	hands.HandleAny(work)
	serve, err := api.New(log, api.Config{Addr: "127.0.0.1:0"}, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.base = "http://" + serve.Addr()
	for _, run := range []func(context.Context) error{sched.Run, hands.Run, serve.Run} {
		h.run(run)
	}
	return h
}

func open(t *testing.T, url string) *eventlog.Log {
	t.Helper()
	return testredis.Open(t, url, 0)
}

// run runs a service until stop is called, or the test ends.
func (h *house) run(service func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.Error(err)
		}
	})
	h.Cleanup(stop)
	return stop
}

// post asks the API for a task.
func (h *house) post(body string) {
	h.Helper()
	if status, answer := h.try(body); status != http.StatusAccepted {
		h.Fatalf("%d %s", status, answer)
	}
}

// try asks the API for a task, and returns its answer.
func (h *house) try(body string) (status int, answer string) {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.base+"/api/tasks", strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := h.client.Do(req)
	if err != nil {
		h.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it was read
	if err != nil {
		h.Fatal(err)
	}
	if resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		h.Errorf("%s without Retry-After", resp.Status)
	}
	return resp.StatusCode, string(text)
}

// begun returns when the next handler begins, or has begun.
func (h *house) begun() time.Time {
	h.Helper()
	select {
	case at := <-h.started:
		return at
	case <-time.After(30 * time.Second):
		h.Fatal("no handler begins")
		return time.Time{}
	}
}

// read follows the log until n events of a type are there, and returns them.
func (h *house) read(typ events.Type, n int) (list []events.Event) {
	h.Helper()
	p := h.log.Partitions()[0]
	var after events.ID
	for deadline := time.Now().Add(60 * time.Second); len(list) < n; {
		if time.Now().After(deadline) {
			h.Fatalf("%d of %d events %s came", len(list), n, typ)
		}
		entries, err := h.log.Follow(h.Context(), p, after, 1000, time.Second)
		if err != nil {
			h.Fatal(err)
		}
		for _, e := range entries {
			if e.Err != nil {
				h.Fatal(e.Err)
			}
			if after = e.ID; e.Data.Type() == typ {
				list = append(list, e.Event)
			}
		}
	}
	return list
}

// percentile returns the value that so much of a list, in percent, does not exceed.
func percentile(list []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
