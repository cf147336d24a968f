package views_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/throughput"
)

func TestAnOverviewTellsTheOldestTaskThatWaitsAndNotTheMostUrgent(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 1)
		p := h.log.Partitions()[0]
		if o, err := h.store.Overview(t.Context()); err != nil || o.Queues.Len() != 0 || len(o.Oldest) != 0 {
			t.Errorf("%+v, %v; want nothing before there are views", o, err)
		}
		asked := map[string]time.Time{}
		ask := func(task, queue string, priority int, delay time.Duration) {
			t.Helper()
			h.nextMs()
			r, err := h.log.Request(t.Context(), eventlog.Request{
				Task: task, Label: events.Label{Queue: queue, Name: "n"}, Delay: delay,
				Definition: events.Definition{MaxAttempts: 1, Priority: priority},
			})
			if err != nil {
				t.Fatal(err)
			}
			asked[task] = r.Event.Time()
		}
		ask("old", "q", 9, 0)
		ask("urgent", "q", 0, 0)
		ask("over", "done", 0, 0)
		ask("later", "delayed", 0, time.Hour)
		ask("handed out", "due", 0, 0)
		h.complete(p, "done")
		if _, err := h.log.Due(t.Context(), p, "due", 1, h.log.Conn().View.ZRange(t.Context(), p.Waiting("due"), 0, -1).Val()); err != nil {
			t.Fatal(err)
		}
		h.project()
		o, err := h.store.Overview(t.Context())
		if err != nil || o.Newest.IsZero() || o.Queues.Queue("q").Counts[events.StateWaiting] != 2 {
			t.Fatalf("%+v, %v; want two that wait in q", o, err)
		}
		if len(o.Oldest) != 2 || !o.Oldest["q"].Equal(asked["old"]) || o.Oldest["due"].Before(asked["handed out"]) {
			t.Errorf("%v, want q since %s, and due since after %s", o.Oldest, asked["old"], asked["handed out"])
		}
	})
}

// BenchmarkReads reads what a dashboard shows of 200 queues that were never idle for eight days, with
// 1000 tasks that wait in each, and reports how many µs of Redis' main thread each read costs:
//
//	go test ./infra/views -run xxx -bench Reads -benchtime 300x
func BenchmarkReads(b *testing.B) {
	const queues, waiting = 200, 1000
	server := testredis.Start(b)
	log := testredis.Open(b, server.URL(), 1)
	store, p, ctx := views.New(log), log.Partitions()[0], context.Background()
	f, err := store.Reset(ctx, p, owner, ttl)
	if err != nil {
		b.Fatal(err)
	}
	save := func() {
		if err := store.Save(ctx, f, owner, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
	now, err := log.Now(ctx)
	if err != nil {
		b.Fatal(err)
	}
	seq := uint64(0)
	add := func(at time.Time, task string, d events.Data) {
		seq++
		e := eventlog.Entry{Event: events.Event{ID: events.ID{Ms: at.UnixMilli(), Seq: seq}, Task: task, Data: d}}
		if f.Full(e) {
			save()
		}
		f.Add(e)
	}
	label := func(q int) events.Label { return events.Label{Queue: fmt.Sprintf("queue-%03d", q), Name: "n"} }
	step := 10 * time.Minute
	for at := now.Add(-8 * 24 * time.Hour); at.Before(now); at = at.Add(step) {
		if now.Sub(at) < 2*time.Hour {
			step = time.Minute
		}
		for q := range queues {
			ms := int64(q) + at.Unix()/60%97
			add(at, fmt.Sprintf("life-%d", q), events.TaskStarted{Label: label(q), Attempt: 1, Worker: "w", WaitMs: ms})
			add(at, fmt.Sprintf("life-%d", q), events.TaskFailed{Label: label(q), Attempt: 1, Worker: "w", RunMs: 7 * ms, RetryAt: 1})
		}
	}
	for i := range queues * waiting {
		add(now, fmt.Sprintf("t%d", i), events.TaskRequested{Label: label(i % queues), Definition: events.Definition{MaxAttempts: 1}})
	}
	save()
	bytes := server.Client().MemoryUsage(ctx, p.View("throughput")).Val()
	fields := server.Client().HLen(ctx, p.View("throughput")).Val()
	for what, read := range map[string]func() error{
		"overview":       func() error { _, err := store.Overview(ctx); return err },
		"hour of all":    func() error { _, _, err := store.Series(ctx, "", time.Hour); return err },
		"week of all":    func() error { _, _, err := store.Series(ctx, "", throughput.MaxWindow); return err },
		"day of a queue": func() error { _, _, err := store.Series(ctx, "queue-007", 24*time.Hour); return err },
	} {
		b.Run(what, func(b *testing.B) {
			before := testredis.MainThread(b, server.Client())
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((testredis.MainThread(b, server.Client())-before)/float64(b.N), "redis-µs/op")
			b.ReportMetric(float64(fields), "slots")
			b.ReportMetric(float64(bytes)/1e6, "MB")
		})
	}
}
