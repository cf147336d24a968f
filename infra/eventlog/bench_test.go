package eventlog_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// BenchmarkLife leads b.N tasks through their life, one step of all after the other, and reports for
// each step how many µs of Redis' main thread it costs per task ("-µs", everything included) and how
// many of these its script runs ("-lua-µs"). Noise does not move the sum, and the sum bounds the system:
//
//	go test ./infra/eventlog -run xxx -bench Life -benchtime 20000x
func BenchmarkLife(b *testing.B) {
	server := testredis.Start(b)
	log := open(b, server.URL(), 1)
	ctx := context.Background()
	rdb, p := server.Client(), log.Of("")
	if err := rdb.XGroupCreateMkStream(ctx, p.Due("default"), eventlog.Group, "0").Err(); err != nil {
		b.Fatal(err)
	}
	attempts := make([]eventlog.Attempt, b.N)
	each := func(f func(i int) error) {
		var wg sync.WaitGroup
		const goroutines = 200
		for g := range goroutines {
			wg.Go(func() {
				for i := g; i < b.N; i += goroutines {
					if err := f(i); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	var total float64
	step := func(name string, f func()) {
		if err := rdb.ConfigResetStat(ctx).Err(); err != nil {
			b.Fatal(err)
		}
		before := testredis.MainThread(b, rdb)
		f()
		cost := (testredis.MainThread(b, rdb) - before) / float64(b.N)
		total += cost
		b.ReportMetric(cost, name+"-µs")
		if lua := commandTime(b, rdb, "evalsha"); lua > 0 {
			b.ReportMetric(lua/float64(b.N), name+"-lua-µs")
		}
	}
	b.ResetTimer()
	step("1request", func() {
		each(func(i int) error {
			_, err := log.Request(ctx, eventlog.Request{
				Task: "0199a1b2-" + strconv.Itoa(i), Label: events.Label{Queue: "default", Name: "sendEmail"},
				Definition: events.Definition{Payload: json.RawMessage(`{"userId":123,"template":"welcome"}`), MaxAttempts: 5},
			})
			return err
		})
	})
	step("2due", func() {
		for {
			members := rdb.ZRange(ctx, p.Waiting("default"), 0, eventlog.MaxItems-1).Val()
			if len(members) == 0 {
				return
			}
			if _, err := log.Due(ctx, p, "default", 1<<30, members); err != nil {
				b.Fatal(err)
			}
		}
	})
	step("3read", func() {
		for n := 0; n < b.N; {
			streams, err := rdb.XReadGroup(ctx, &redis.XReadGroupArgs{
				Group: eventlog.Group, Consumer: "c", Streams: []string{p.Due("default"), ">"}, Count: 100, Block: -1,
			}).Result()
			if err != nil {
				b.Fatal(err)
			}
			for _, m := range streams[0].Messages {
				id, _ := events.ParseID(m.ID)
				task, _ := m.Values["task"].(string)
				attempts[n] = eventlog.Attempt{
					Task: task, Queue: "default", Number: 1, Worker: "host-1", Entry: id,
					Token: "dGhlIHZhbHVlIG9mIGE" + strconv.Itoa(n),
				}
				n++
			}
		}
	})
	step("4start", func() {
		each(func(i int) error {
			_, err := log.Start(ctx, attempts[i], 30*time.Second)
			return err
		})
	})
	step("5finish", func() {
		each(func(i int) error {
			_, err := log.Complete(ctx, attempts[i], 0, json.RawMessage(`{"sent":true}`))
			return err
		})
	})
	b.ReportMetric(total, "life-µs")
	if done := rdb.XLen(ctx, p.Events).Val(); done != int64(4*b.N) {
		b.Fatalf("%d events for %d tasks", done, b.N)
	}
}

// commandTime returns the time that a command has run since the last reset, in µs.
func commandTime(b *testing.B, rdb *redis.Client, command string) float64 {
	b.Helper()
	stats := section(b, rdb, "commandstats")["cmdstat_"+command]
	for field := range strings.SplitSeq(stats, ",") {
		if usec, ok := strings.CutPrefix(field, "usec="); ok {
			return number(b, usec)
		}
	}
	return 0
}

func section(b *testing.B, rdb *redis.Client, name string) map[string]string {
	b.Helper()
	text, err := rdb.Info(b.Context(), name).Result()
	if err != nil {
		b.Fatal(err)
	}
	fields := map[string]string{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok {
			fields[key] = value
		}
	}
	return fields
}

func number(b *testing.B, s string) float64 {
	b.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		b.Fatal(fmt.Errorf("%q: %w", s, err))
	}
	return f
}
