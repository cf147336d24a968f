package api_test

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/rebuilder"
)

// A stock is an API over tasks that were worked on in the last hours, in 200 queues: a hundredth failed, the
// newest wait or are delayed.
type stock struct {
	testing.TB
	redis *testredis.Server
	log   *eventlog.Log
	api   *api.API
}

// stocked makes a stock of n tasks, as a log first, and then what the services make of that.
func stocked(tb testing.TB, n int) *stock {
	tb.Helper()
	const (
		queues = 200
		span   = 6 * time.Hour
		chunk  = 10_000
	)
	newest := max(1000, n/20)
	s := &stock{TB: tb, redis: testredis.Start(tb)}
	s.log = testredis.Open(tb, s.redis.URL(), 1)
	now, err := s.log.Now(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	p, begin := s.log.Partitions()[0], now.Add(-span).UnixMilli()
	for first := 0; first < n; first += chunk {
		var list []events.Event
		for i := first; i < min(first+chunk, n); i++ {
			at := begin + int64(i)*span.Milliseconds()/int64(n)
			label := events.Label{Queue: fmt.Sprintf("queue-%03d", i%queues), Name: fmt.Sprintf("name-%d", i/queues%5)}
			requested := events.TaskRequested{Label: label, DueAt: at, Definition: events.Definition{
				Payload: fmt.Appendf(nil, `{"userId":%d,"template":"welcome"}`, i), MaxAttempts: 1, RequestID: fmt.Sprint("r", i),
			}}
			life := []events.Data{
				requested,
				events.TaskDue{Label: label, Attempt: 1, DueAt: at, From: events.StateWaiting},
				events.TaskStarted{Label: label, Attempt: 1, Worker: fmt.Sprint("worker-", i%20), Token: fmt.Sprint("token-", i), WaitMs: 5},
				events.TaskCompleted{Label: label, Attempt: 1, Worker: fmt.Sprint("worker-", i%20), RunMs: int64(i % 90)},
			}
			switch {
			case i/queues%100 == 7:
				life[3] = events.TaskFailed{Label: label, Attempt: 1, Worker: fmt.Sprint("worker-", i%20), Reason: events.ReasonError, Error: "502 Bad Gateway", RunMs: 90}
			case i >= n-newest && i%2 == 0:
				life = life[:1]
			case i >= n-newest:
				requested.DelayMs, requested.DueAt = 48*time.Hour.Milliseconds(), at+48*time.Hour.Milliseconds()
				life = []events.Data{requested}
			}
			for _, d := range life {
				list = append(list, events.Event{ID: events.ID{Ms: at, Seq: uint64(len(list))}, Task: fmt.Sprintf("task-%07d", i), Data: d})
			}
		}
		testredis.Write(tb, s.log, p, list...)
	}
	if sum, err := rebuilder.Run(tb.Context(), s.log, rebuilder.Config{LeaseTTL: time.Minute}); err != nil || sum.Illegal > 0 {
		tb.Fatalf("%+v, %v", sum, err)
	}
	if _, err := projector.Rebuild(tb.Context(), s.log, projector.Options{}); err != nil {
		tb.Fatal(err)
	}
	for i := range 20 {
		err = errors.Join(err, s.log.Announce(tb.Context(), eventlog.Presence{Worker: fmt.Sprint("worker-", i), Host: "here", PID: i + 1, Concurrency: 10}))
	}
	if err == nil {
		s.api, err = api.New(s.log, api.Config{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.api.Close)
	return s
}

// view asks for a page.
func (s *stock) view(path string) string {
	s.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(s.Context(), http.MethodGet, "http://127.0.0.1"+path, nil)
	if s.api.Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
		s.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// stockedPages are the pages of a stock of n tasks, but those that tell the past.
func stockedPages(n int) map[string]string {
	return map[string]string{
		"overview":        "/admin/queues",
		"overview of 7 d": "/admin/queues?window=7d&sort=failing",
		"queue":           "/admin/queues/queue-007",
		"queue, failed":   "/admin/queues/queue-007?state=failed",
		"tasks":           "/admin/tasks",
		"tasks, waiting":  "/admin/tasks?state=waiting",
		"tasks, failed":   "/admin/tasks?state=failed",
		"tasks, done":     "/admin/tasks?state=completed",
		"tasks, named":    "/admin/tasks?name=name-3",
		"task":            fmt.Sprintf("/admin/tasks/task-%07d", n/2),
		"events":          "/admin/events",
		"events of queue": "/admin/events?queue=queue-007",
		"events from":     "/admin/events?from=-1h",
		"workers":         "/admin/workers",
		"past, as of now": "/admin/past",
	}
}

// bounded are the commands that a page may give Redis. None of them costs more where there are more tasks: hashes are
// read of views and announcements, which grow with queues and workers, and of single tasks, and every range has a count.
var bounded = map[string]bool{
	"hello": true, "time": true, "info": true, "multi": true, "exec": true, "get": true, "hget": true, "hmget": true, "hgetall": true, "hvals": true,
	"zrange": true, "zrevrangebyscore": true, "lrange": true, "llen": true, "lindex": true, "evalsha": true, "eval": true,
	"client|id": true, "xread": true, "xlen": true, "xrange": true, "xrevrange": true, "xinfo|stream": true, "xinfo|groups": true, "memory|usage": true,
}

func TestNoPageScansOrCostsMoreWhereThereAreMoreTasks(t *testing.T) {
	t.Parallel()
	cost := func(n int) map[string]int {
		s, total := stocked(t, n), map[string]int{}
		for name, path := range stockedPages(n) {
			s.view(path) // what is kept for a while is there
			before := testredis.Calls(s, s.redis.Client())
			s.view(path)
			for command, calls := range testredis.Calls(s, s.redis.Client()) {
				if calls == before[command] {
					continue
				}
				if total[name] += calls - before[command]; !bounded[command] {
					t.Errorf("%s: %s is given to Redis %d times", name, command, calls-before[command])
				}
			}
		}
		return total
	}
	few, many := cost(3000), cost(12_000)
	for name := range stockedPages(0) {
		if many[name] > few[name]+60 { // a page may have more rows
			t.Errorf("%s: %d commands with four times the tasks, and %d before", name, many[name], few[name])
		}
	}
}

// BenchmarkPages tells what a view of each page costs at a million tasks in 200 queues: the time until it is
// answered, the time of Redis' main thread, and the commands that this ran:
//
//	go test ./services/api -run xxx -bench Pages -benchtime 50x
func BenchmarkPages(b *testing.B) {
	const tasks = 1_000_000
	s := stocked(b, tasks)
	pages := stockedPages(tasks)
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		b.Run(name, func(b *testing.B) {
			for strings.Contains(s.view(pages[name]), "still being read") { // the index of a search is made once
			}
			before, ran := testredis.MainThread(b, s.redis.Client()), testredis.AllCalls(b, s.redis.Client())
			for b.Loop() {
				s.view(pages[name])
			}
			b.ReportMetric((testredis.MainThread(b, s.redis.Client())-before)/float64(b.N), "redis-µs/op")
			b.ReportMetric(float64(testredis.AllCalls(b, s.redis.Client())-ran)/float64(b.N), "commands/op")
		})
	}
}
