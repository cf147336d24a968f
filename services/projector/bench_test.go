package projector_test

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/projector"
)

// BenchmarkFollow follows the log of b.N tasks that wait behind ten thousand others and reports how many
// µs of Redis' main thread the views cost per task, and how long its longest save took. Noise does not
// move the first:
//
//	go test ./services/projector -run xxx -bench Follow -benchtime 100000x
func BenchmarkFollow(b *testing.B) {
	server := testredis.Start(b)
	log := open(b, server.URL(), 1)
	ctx, rdb, p := context.Background(), server.Client(), log.Partitions()[0]
	write(b, log, p, lives(b.N, 10_000))
	if err := rdb.Do(ctx, "CONFIG", "SET", "slowlog-log-slower-than", "1000").Err(); err != nil {
		b.Fatal(err)
	}
	before := testredis.MainThread(b, server.Client())
	began := time.Now()
	b.ResetTimer()
	run(b, log, quiet(), nil)
	caughtUp(b, log, p)
	b.StopTimer()
	b.ReportMetric((testredis.MainThread(b, server.Client())-before)/float64(b.N), "redis-µs/task")
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "tasks/s")
	for line := range strings.Lines(rdb.Info(ctx, "commandstats").Val()) {
		var name string
		var calls, us int64
		line = strings.NewReplacer("cmdstat_", "", ":calls=", " ", ",usec=", " ", ",", " ").Replace(line)
		if n, _ := fmt.Sscanf(line, "%s %d %d", &name, &calls, &us); n == 3 && us*20 > int64(b.N) {
			b.ReportMetric(float64(us)/float64(b.N), name+"-µs/task")
		}
	}
	var longest time.Duration
	for _, s := range rdb.SlowLogGet(ctx, 1000).Val() {
		if strings.HasPrefix(strings.ToLower(s.Args[0]), "eval") {
			longest = max(longest, s.Duration)
		}
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "longest-save-ms")
}

// lives returns the four events of each of n tasks, in the order in which 15 000 tasks a second pass
// when behind tasks wait.
func lives(n, behind int) []events.Event {
	about := events.Label{Queue: "default", Name: "sendEmail"}
	var list []events.Event
	add := func(i int, d events.Data) {
		id := events.ID{Ms: 1_764_000_000_000 + int64(len(list)/60), Seq: uint64(len(list) % 60)}
		list = append(list, events.Event{ID: id, Task: fmt.Sprintf("0199a1b2-7c3d-7e4f-8a5b-%012d", i), Data: d})
	}
	for i := range n + behind {
		if i < n {
			add(i, events.TaskRequested{Label: about, Definition: events.Definition{
				Payload: []byte(`{"data":"` + strings.Repeat("x", 89) + `"}`), MaxAttempts: 5,
			}})
		}
		if j := i - behind; j >= 0 && j < n {
			add(j, events.TaskDue{Label: about, Attempt: 1, From: events.StateWaiting})
			add(j, events.TaskStarted{Label: about, Attempt: 1, Worker: "w", Token: "bXV0ZXg=", WaitMs: 3})
			add(j, events.TaskCompleted{Label: about, Attempt: 1, Worker: "w", RunMs: 5})
		}
	}
	return list
}

// BenchmarkRebuild makes the views of b.N tasks of four events again and reports how many µs of CPU that costs per
// event, here and on Redis' main thread. Noise moves them less than the time that it takes:
//
//	go test ./services/projector -run xxx -bench Rebuild -benchtime 100000x
func BenchmarkRebuild(b *testing.B) {
	server := testredis.Start(b)
	log := open(b, server.URL(), 1)
	write(b, log, log.Partitions()[0], lives(b.N, 1000))
	before, spent := testredis.MainThread(b, server.Client()), process(b)
	b.ResetTimer()
	sum, err := projector.Rebuild(context.Background(), log, projector.Options{})
	b.StopTimer()
	if err != nil || sum.Entries != 4*int64(b.N) {
		b.Fatalf("%+v, %v", sum, err)
	}
	events := float64(sum.Entries)
	b.ReportMetric((testredis.MainThread(b, server.Client())-before)/events, "redis-µs/event")
	b.ReportMetric((process(b)-spent)/events, "go-µs/event")
	b.ReportMetric(events/sum.Took.Seconds(), "events/s")
}

// process returns the µs of CPU that this process has used.
func process(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1000
}
