package views_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	owner = "me"
	ttl   = 5 * time.Second
)

// house is a log and its views.
type house struct {
	*testing.T
	log   *eventlog.Log
	store *views.Store
}

func build(t *testing.T, url string, partitions int) *house {
	t.Helper()
	log := testredis.Open(t, url, partitions)
	return &house{T: t, log: log, store: views.New(log)}
}

// load takes the views of a partition, new ones if there are none.
func (h *house) load(p eventlog.Partition) *views.Fold {
	h.Helper()
	f, err := h.store.Load(h.Context(), p)
	if errors.Is(err, views.ErrUnusable) {
		f, err = h.store.Reset(h.Context(), p, owner, ttl)
	}
	if err != nil {
		h.Fatal(err)
	}
	return f
}

// read adds to f what the log holds more, n entries at the most.
func (h *house) read(f *views.Fold, p eventlog.Partition, n int) {
	h.Helper()
	entries, err := h.log.Range(h.Context(), p, f.Checkpoint, events.MaxID, n)
	if err != nil {
		h.Fatal(err)
	}
	for _, e := range entries {
		f.Add(e)
	}
}

// project brings the views up with the log.
func (h *house) project() {
	h.Helper()
	for _, p := range h.log.Partitions() {
		f := h.load(p)
		h.read(f, p, 100_000)
		if err := h.store.Save(h.Context(), f, owner, ttl); err != nil {
			h.Fatal(err)
		}
	}
}

func (h *house) request(task, queue, name string, delay time.Duration) {
	h.Helper()
	_, err := h.log.Request(h.Context(), eventlog.Request{
		Task: task, Label: events.Label{Queue: queue, Name: name}, Definition: events.Definition{MaxAttempts: 1}, Delay: delay,
	})
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) cancel(task string) {
	h.Helper()
	if _, err := h.log.Cancel(h.Context(), task, "test", ""); err != nil {
		h.Fatal(err)
	}
}

// pages reads a listing to its end and calls between after each page but the last.
func (h *house) pages(f views.Filter, between func()) (ids []string, pages int) {
	h.Helper()
	for pages = 1; ; pages++ {
		page, err := h.store.Tasks(h.Context(), f)
		if err != nil {
			h.Fatal(err)
		}
		for _, t := range page.Tasks {
			ids = append(ids, t.ID)
		}
		if f.Cursor = page.Next; f.Cursor == "" {
			return ids, pages
		}
		if between != nil {
			between()
		}
	}
}

// complete leads every waiting task of a queue to its end.
func (h *house) complete(p eventlog.Partition, queue string) {
	h.Helper()
	ctx, rdb := h.Context(), h.log.Conn().View
	for {
		members := rdb.ZRange(ctx, p.Waiting(queue), 0, eventlog.MaxItems-1).Val()
		if len(members) == 0 {
			return
		}
		if _, err := h.log.Due(ctx, p, queue, 1<<30, members); err != nil {
			h.Fatal(err)
		}
		for _, m := range members {
			_, task, _ := strings.Cut(m, ":")
			a := eventlog.Attempt{Task: task, Queue: queue, Number: 1, Token: "token", Worker: "w"}
			row, err := h.log.Task(ctx, task)
			if err != nil {
				h.Fatal(err)
			}
			a.Entry = row.Events[len(row.Events)-1]
			if _, err := h.log.Start(ctx, a, ttl); err != nil {
				h.Fatal(err)
			}
			if _, err := h.log.Complete(ctx, a, time.Millisecond, nil); err != nil {
				h.Fatal(err)
			}
		}
	}
}

// nextMs waits for the next ms of Redis' clock: lists have no order among what shares one.
func (h *house) nextMs() {
	h.Helper()
	var first int64
	for {
		now, err := h.log.Now(h.Context())
		if err != nil {
			h.Fatal(err)
		}
		if first == 0 {
			first = now.UnixMilli()
		}
		if now.UnixMilli() > first {
			return
		}
	}
}
