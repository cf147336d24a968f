package verifier_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/verifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const hour = time.Hour

// house is a log with tasks in every state, and the views of it.
type house struct {
	*testing.T
	log *eventlog.Log
	p   eventlog.Partition
	rdb redis.UniversalClient
}

// each runs a test on a log in a real Redis and in the embedded one.
func each(t *testing.T, f func(h *house)) {
	t.Helper()
	testredis.Each(t, func(t *testing.T, url string) { f(open(t, url)) })
}

func open(t *testing.T, url string) *house {
	t.Helper()
	return openMany(t, url, 1)
}

// openMany is open with a number of partitions.
func openMany(t *testing.T, url string, partitions int) *house {
	t.Helper()
	log := testredis.Open(t, url, partitions)
	return &house{T: t, log: log, p: log.Partitions()[0], rdb: log.Conn().View}
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// request asks for a task in queue q, and prio is its priority.
func (h *house) request(id string, priority int, delay time.Duration) {
	h.Helper()
	_, err := h.log.Request(h.Context(), eventlog.Request{
		Task: id, Label: events.Label{Queue: "q", Name: "test"}, Delay: delay,
		Definition: events.Definition{MaxAttempts: 2, Priority: priority, RequestID: "of " + id, Payload: []byte(`{"n":[1]}`)},
	})
	h.must(err)
}

// due makes due whatever waits in queue q.
func (h *house) due() {
	h.Helper()
	members, err := h.rdb.ZRange(h.Context(), h.p.Waiting("q"), 0, -1).Result()
	h.must(err)
	_, err = h.log.Due(h.Context(), h.p, "q", 1000, members)
	h.must(err)
}

// run leads a task to a worker that runs it.
func (h *house) run(id string) eventlog.Attempt {
	h.Helper()
	h.request(id, 0, 0)
	h.due()
	return h.start(id)
}

// start starts the attempt that is due.
func (h *house) start(id string) eventlog.Attempt {
	h.Helper()
	row, err := h.log.Task(h.Context(), id)
	h.must(err)
	a := eventlog.Attempt{
		Task: id, Queue: "q", Number: row.Attempt + 1, Token: id + " " + row.Events[len(row.Events)-1].String(), Worker: "w",
		Entry: row.Events[len(row.Events)-1],
	}
	h.must(h.rdb.Set(h.Context(), h.p.Lock(id), a.Token, hour).Err()) // an attempt that was abandoned may still hold it
	_, err = h.log.Start(h.Context(), a, hour)
	h.must(err)
	a.Entry = events.ID{}
	return a
}

// fill writes a log with a task in every state. Their names are the states.
func (h *house) fill() {
	h.Helper()
	ctx := h.Context()
	_, err := h.log.Complete(ctx, h.run("completed"), time.Second, json.RawMessage(`{"ok":true}`))
	h.must(err)
	_, err = h.log.Fail(ctx, h.run("failed"), time.Second, events.ReasonRejected, "no", nil)
	h.must(err)
	_, err = h.log.Fail(ctx, h.run("retrying"), time.Second, events.ReasonError, "not now", new(hour))
	h.must(err)
	_, err = h.log.Release(ctx, h.run("released"), events.ReasonShutdown, new(hour))
	h.must(err)
	_, err = h.log.Cancel(ctx, h.run("cancelled").Task, "test", "")
	h.must(err)
	_, err = h.log.Cancel(ctx, h.run("again").Task, "test", "")
	h.must(err)
	_, err = h.log.Retry(ctx, "again", "test", "r1")
	h.must(err)
	h.due()
	_, err = h.log.Complete(ctx, h.start("again"), time.Second, nil)
	h.must(err)
	h.run("active")
	h.request("due", 0, 0)
	h.due()
	h.request("waiting", 7, 0)
	h.request("delayed", 0, hour)
	_, err = h.log.Pause(ctx, "mail", "test")
	h.must(err)
}

// project brings the stored views to the end of the log.
func (h *house) project() {
	h.Helper()
	store := views.New(h.log)
	f, err := store.Load(h.Context(), h.p)
	if err != nil {
		f, err = store.Reset(h.Context(), h.p, "me", hour)
	}
	h.must(err)
	entries, err := h.log.Range(h.Context(), h.p, f.Checkpoint, events.MaxID, 100_000)
	h.must(err)
	for _, e := range entries {
		if f.Full(e) {
			h.must(store.Save(h.Context(), f, "me", hour))
		}
		f.Add(e)
	}
	h.must(store.Save(h.Context(), f, "me", hour))
}

// verify proves the log.
func (h *house) verify(cfg verifier.Config) verifier.Report {
	h.Helper()
	cfg.Patience = 20 * time.Millisecond
	r, err := verifier.Run(h.Context(), h.log, cfg)
	h.must(err)
	return r
}

// good fails the test unless the log is proved.
func (h *house) good() verifier.Report {
	h.Helper()
	r := h.verify(verifier.Config{})
	if !r.OK {
		h.Fatalf("violations %v, differences %v", r.Violations, r.Differences)
	}
	return r
}

// indexKey is the key of the index of a state.
func (h *house) indexKey(ctx context.Context, state events.State) string {
	h.Helper()
	keys, err := h.rdb.Keys(ctx, h.p.View("tasks:*:"+string(state)+":q")).Result()
	h.must(err)
	if len(keys) != 1 {
		h.Fatalf("keys %v, want one", keys)
	}
	return keys[0]
}

// says reports that a difference names a key and contains a text.
func says(r verifier.Report, key, text string) bool {
	for _, d := range r.Differences {
		if d.Key == key && strings.Contains(d.Text, text) {
			return true
		}
	}
	return false
}
