package verifier_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/verifier"
)

// BenchmarkVerify verifies the log of b.N tasks, four events each, with their rows:
//
//	go test ./services/verifier -run xxx -bench Verify -benchtime 250000x
func BenchmarkVerify(b *testing.B) {
	url := testredis.Start(b).URL()
	conn, err := eventlog.Connect(url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the process ends
	log, err := eventlog.Open(b.Context(), conn, eventlog.Config{})
	if err != nil {
		b.Fatal(err)
	}
	live(b, log, b.N)
	b.ResetTimer()
	began := time.Now()
	r, err := verifier.Run(b.Context(), log, verifier.Config{Settled: true})
	if err != nil || !r.OK {
		b.Fatalf("%v, violations %v, differences %v", err, r.Violations, r.Differences)
	}
	b.StopTimer()
	b.ReportMetric(float64(r.Events)/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(peak(b), "peak-MB") // of the whole process, which wrote the log, too
}

// live leads n tasks through their lives, as the services do.
func live(b *testing.B, log *eventlog.Log, n int) {
	b.Helper()
	p := log.Partitions()[0]
	const many = 256
	crowd(b, many, n, func(ctx context.Context, i int) error {
		_, err := log.Request(ctx, eventlog.Request{
			Task: name(i), Label: events.Label{Queue: "q", Name: "sendEmail"},
			Definition: events.Definition{MaxAttempts: 5, Payload: []byte(`{"data":"` + strings.Repeat("x", 89) + `"}`)},
		})
		return err
	})
	for {
		members, err := log.Conn().View.ZRange(b.Context(), p.Waiting("q"), 0, eventlog.MaxItems-1).Result()
		if err != nil {
			b.Fatal(err)
		}
		if len(members) == 0 {
			break
		}
		if _, err := log.Due(b.Context(), p, "q", 1<<30, members); err != nil {
			b.Fatal(err)
		}
		entries, err := log.Conn().View.XRange(b.Context(), p.Due("q"), "-", "+").Result()
		if err != nil {
			b.Fatal(err)
		}
		crowd(b, many, len(entries), func(ctx context.Context, i int) error {
			a := eventlog.Attempt{Queue: "q", Number: 1, Worker: "w", Token: entries[i].ID}
			a.Task, _ = entries[i].Values["task"].(string)
			a.Entry, _ = events.ParseID(entries[i].ID) // Redis wrote it
			if _, err := log.Start(ctx, a, hour); err != nil {
				return err
			}
			_, err := log.Complete(ctx, a, time.Millisecond, nil)
			return err
		})
	}
}

func name(i int) string { return fmt.Sprintf("0199a1b2-7c3d-7e4f-8a5b-%012d", i) }

// crowd calls f for all numbers below n, many at once.
func crowd(b *testing.B, many, n int, f func(ctx context.Context, i int) error) {
	b.Helper()
	var wg sync.WaitGroup
	for first := range many {
		wg.Go(func() {
			for i := first; i < n; i += many {
				if err := f(b.Context(), i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// peak is the most memory that this process had, in MB.
func peak(b *testing.B) (mb float64) {
	b.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &mb); n == 1 {
			return mb / 1024
		}
	}
	return 0
}
