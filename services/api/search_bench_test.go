package api_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
)

// BenchmarkSearch makes the index of 500 000 tasks with four events each, and reports how long that takes and
// how much of Redis' main thread; then it searches for what is not there:
//
//	go test ./services/api -run xxx -bench Search -benchtime 20x
func BenchmarkSearch(b *testing.B) {
	const tasks = 500_000
	server := testredis.Start(b)
	log := testredis.Open(b, server.URL(), 1)
	write(b, server.Client(), log.Partitions()[0].Events, tasks)
	a, err := api.New(log, api.Config{SearchBytes: 1 << 30, SearchDays: 36_500}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	ask := func(query string) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "http://127.0.0.1/api/tasks?"+query, nil)
		if a.Handler().ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		return w.Body.String()
	}
	before, began := testredis.MainThread(b, server.Client()), time.Now()
	for strings.Contains(ask("q=no+such+text"), `"building":true`) {
	}
	made, cost := time.Since(began), testredis.MainThread(b, server.Client())-before
	for b.Loop() {
		ask("q=no+such+text")
	}
	b.ReportMetric(made.Seconds(), "made-s")
	b.ReportMetric(cost/4/tasks, "made-redis-µs/event")
}

// write appends the events of n tasks.
func write(b *testing.B, rdb *redis.Client, stream string, n int) {
	b.Helper()
	label := events.Label{Queue: "default", Name: "sendEmail"}
	for i := 0; i < n; {
		_, err := rdb.Pipelined(context.Background(), func(pipe redis.Pipeliner) error {
			for end := min(i+1000, n); i < end; i++ {
				payload := fmt.Sprintf(`{"userId":%d,"template":"welcome","to":"user-%d@example.com","locale":"en"}`, i, i)
				for step, d := range []events.Data{
					events.TaskRequested{Label: label, Definition: events.Definition{Payload: []byte(payload), MaxAttempts: 5}},
					events.TaskDue{Label: label, Attempt: 1, From: events.StateWaiting},
					events.TaskStarted{Label: label, Attempt: 1, Worker: "worker-1", Token: "0199a1b2-7c3d-7e4f"},
					events.TaskCompleted{Label: label, Attempt: 1, Worker: "worker-1", RunMs: 7},
				} {
					typ, v, data, err := events.Encode(d)
					if err != nil {
						return err
					}
					pipe.XAdd(context.Background(), &redis.XAddArgs{
						Stream: stream, ID: fmt.Sprintf("%d-%d", 1_764_000_000_000+i, step),
						Values: []any{"type", string(typ), "task", fmt.Sprintf("0199a1b2-7c3d-7e4f-8a5b-%012d", i), "v", v, "data", data},
					})
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
