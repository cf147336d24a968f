package projector_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/projector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open connects to a Redis and opens the log with a number of partitions.
func open(t testing.TB, url string, partitions int) *eventlog.Log {
	t.Helper()
	return testredis.Open(t, url, partitions)
}

// run runs a projector until stop is called, or the test ends.
func run(t testing.TB, log *eventlog.Log, logger *slog.Logger, reg prometheus.Registerer) (stop func()) {
	t.Helper()
	return runWith(t, log, projector.Config{}, logger, reg)
}

func runWith(t testing.TB, log *eventlog.Log, cfg projector.Config, logger *slog.Logger, reg prometheus.Registerer) (stop func()) {
	t.Helper()
	p, err := projector.New(log, cfg, logger, reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// write puts events into the log as they are, past every check.
func write(t testing.TB, log *eventlog.Log, p eventlog.Partition, list []events.Event) {
	t.Helper()
	testredis.Write(t, log, p, list...)
}

// asMadeAgain fails the test unless the stored views are those that the log gives.
func asMadeAgain(t *testing.T, log *eventlog.Log, p eventlog.Partition) {
	t.Helper()
	got := dump(t, log, p)
	if _, err := projector.Rebuild(t.Context(), log, projector.Options{}); err != nil {
		t.Fatal(err)
	}
	if want := dump(t, log, p); got != want {
		t.Error(differ(got, want))
	}
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited too long: %s", what)
		case <-tick.C:
		}
	}
}

// caughtUp waits until the views of a partition have the newest event.
func caughtUp(t testing.TB, log *eventlog.Log, p eventlog.Partition) {
	t.Helper()
	end, err := log.Last(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	store := views.New(log)
	eventually(t, "the views reach the end of the log", func() bool {
		at, err := store.Checkpoint(context.Background(), p)
		return err == nil && at.Compare(end) >= 0
	})
}

// dump writes down everything that is stored of a partition's views, but for what names the
// generation.
func dump(t testing.TB, log *eventlog.Log, p eventlog.Partition) string {
	t.Helper()
	ctx, rdb := context.Background(), log.Conn().View
	head := rdb.HGetAll(ctx, p.View("head")).Val()
	index := head["index"]
	if index == "" {
		t.Fatal("no views are stored")
	}
	for _, field := range []string{"generation", "index", "swept"} {
		delete(head, field)
	}
	var b strings.Builder
	hash := func(name string, fields map[string]string) {
		for _, f := range slices.Sorted(maps.Keys(fields)) {
			fmt.Fprintf(&b, "%s %s = %s\n", name, f, fields[f])
		}
	}
	hash("head", head)
	for _, name := range []string{"queues", "throughput", "names", "workers", "tasks"} {
		hash(name, rdb.HGetAll(ctx, p.View(name)).Val())
	}
	prefix := p.View("tasks:" + index + ":")
	for _, key := range keys(t, log, prefix) {
		if strings.HasPrefix(key, prefix+"completed:") {
			for _, s := range rdb.LRange(ctx, key, 0, -1).Val() {
				fmt.Fprintf(&b, "%s %s\n", strings.TrimPrefix(key, prefix), s)
			}
			continue
		}
		for _, z := range rdb.ZRangeWithScores(ctx, key, 0, -1).Val() {
			fmt.Fprintf(&b, "%s %s = %.0f\n", strings.TrimPrefix(key, prefix), z.Member, z.Score)
		}
	}
	return b.String()
}

// keys returns the keys with a prefix, sorted.
func keys(t testing.TB, log *eventlog.Log, prefix string) []string {
	t.Helper()
	var found []string
	it := log.Conn().View.Scan(context.Background(), 0, prefix+"*", 1000).Iterator()
	for it.Next(context.Background()) {
		found = append(found, it.Val())
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// differ returns the first lines in which two dumps differ.
func differ(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d of %d and %d:\n got %s\nwant %s", i+1, len(a), len(b), a[i], b[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(a), len(b))
}

// syncBuffer collects what a logger writes.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
