package copier_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/copier"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/rebuilder"
	"github.com/tasklog/tasklog/services/verifier"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open opens a log whose rows stay: histories are made up, and of the past.
func open(t testing.TB, url, prefix string, partitions int) *eventlog.Log {
	t.Helper()
	conn, err := eventlog.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{Prefix: prefix, Partitions: partitions, Retention: 20 * 365 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// write appends a history to a log: tasks where they live, queues everywhere.
func write(t testing.TB, log *eventlog.Log, list []events.Event) {
	t.Helper()
	for _, p := range log.Partitions() {
		theirs := slices.DeleteFunc(slices.Clone(list), func(e events.Event) bool { return e.Task != "" && log.Of(e.Task).N != p.N })
		testredis.Write(t, log, p, theirs...)
	}
}

// writeStrange appends entries that are no events, some of them about tasks that live elsewhere.
func writeStrange(t testing.TB, log *eventlog.Log) {
	t.Helper()
	const ms = 1_790_000_000_000 // after every history, and before now
	for _, p := range log.Partitions() {
		for i, values := range [][]any{
			{"x", "\x00\xff", "", "\r\n"},
			{"type", "Unheard", "task", "of", "v", "1", "data", "{}"},
			{"data", `{"queue":"queue: 0"}`, "type", "QueuePaused", "task", "t", "v", "x"},
			{"type", "TaskDue", "task", "", "v", "7", "data", strings.Repeat("x", 3000)},
		} {
			_, err := log.Conn().View.XAdd(t.Context(), &redis.XAddArgs{Stream: p.Events, ID: fmt.Sprintf("%d-%d", ms, i), Values: values}).Result()
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// raw returns all entries of a partition.
func raw(t testing.TB, log *eventlog.Log, p eventlog.Partition) []eventlog.Raw {
	t.Helper()
	list, err := log.Verbatim(t.Context(), p, events.ID{}, events.MaxID, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// lives tells what a log says of each task, and how often it says each thing that is about none; but for what it
// says of queues. It is the same however the log is parted.
func lives(t testing.TB, log *eventlog.Log) (tasks map[string]string, others map[string]int) {
	t.Helper()
	tasks, others = map[string]string{}, map[string]int{}
	for _, p := range log.Partitions() {
		for _, e := range raw(t, log, p) {
			said := fmt.Sprintf("%.60q", e.Fields)
			entry := e.Entry()
			if entry.Err != nil {
				others[said]++
				continue
			}
			switch entry.Data.(type) {
			case events.QueuePaused, events.QueueResumed:
			default:
				sum := sha256.Sum256([]byte(tasks[entry.Task] + said))
				tasks[entry.Task] = fmt.Sprintf("%x", sum)
			}
		}
	}
	return tasks, others
}

// same fails unless two logs tell the same of all tasks.
func same(t testing.TB, a, b *eventlog.Log) {
	t.Helper()
	tasks, others := lives(t, a)
	copied, strange := lives(t, b)
	if len(tasks) == 0 || !maps.Equal(tasks, copied) {
		t.Errorf("the source tells of %d tasks, and the copy of %d, or otherwise", len(tasks), len(copied))
	}
	if !maps.Equal(others, strange) {
		t.Errorf("what is no event differs: %v and %v", others, strange)
	}
}

// config is how tests copy.
func config(mode copier.Mode, target *eventlog.Log) copier.Config {
	return copier.Config{
		Mode: mode, Source: "the source", Target: "the target",
		State: stateWith(target, time.Minute),
		Views: func(ctx context.Context) error {
			_, err := projector.Rebuild(ctx, target, projector.Options{})
			return err
		},
	}
}

// stateWith makes the state of a copy, with leases of so long.
func stateWith(target *eventlog.Log, ttl time.Duration) func(ctx context.Context, p eventlog.Partition, gate string) error {
	return func(ctx context.Context, p eventlog.Partition, gate string) error {
		_, err := rebuilder.Partition(ctx, target, p, gate, rebuilder.Config{LeaseTTL: ttl, Shut: true})
		return err
	}
}

// proved fails unless a log and all that lies beside it is as it should be.
func proved(t testing.TB, log *eventlog.Log) {
	t.Helper()
	r, err := verifier.Run(t.Context(), log, verifier.Config{Undecodable: true})
	if err != nil || !r.OK {
		t.Errorf("%v: %+v %+v", err, r.Violations, r.Differences)
	}
}

// shut reports whether decisions are refused in all partitions, or in none.
func shut(t testing.TB, log *eventlog.Log) bool {
	t.Helper()
	n := 0
	for _, p := range log.Partitions() {
		gate, err := log.Gate(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		if gate != "" {
			n++
		}
	}
	if n != 0 && n != len(log.Partitions()) {
		t.Errorf("%d partitions are shut, of %d", n, len(log.Partitions()))
	}
	return n > 0
}

// history makes up what happened, with what is going on at its end.
func history(seed uint64, n int) simulation.History {
	return simulation.Make(simulation.Config{Seed: seed, Events: n, StepMs: 3})
}

// still lets no attempt run: a move is refused while one does.
func still(h simulation.History) []events.Event {
	list := slices.Clone(h.Events)
	at := list[len(list)-1].ID
	for _, id := range slices.Sorted(maps.Keys(h.Tasks)) {
		if task := h.Tasks[id]; task.State == events.StateActive {
			at = at.Next()
			list = append(list, events.Event{ID: at, Task: id, Data: events.TaskCompleted{Label: task.Label, Attempt: task.Attempt, Worker: task.Worker}})
		}
	}
	return list
}

// must fails unless an error is nil.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// shelf is an archive of one partition.
type shelf []eventlog.Raw

func (s shelf) Raw(_ context.Context, _ int, after, until events.ID, n int) (out []eventlog.Raw, err error) {
	for _, e := range s {
		if len(out) < n && e.ID.Compare(after) > 0 && e.ID.Compare(until) <= 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

func (s shelf) Range(ctx context.Context, partition int, after, until events.ID, n int) (out []eventlog.Entry, err error) {
	some, err := s.Raw(ctx, partition, after, until, n)
	for _, e := range some {
		out = append(out, e.Entry())
	}
	return out, err
}

func (s shelf) End(context.Context, int) (events.ID, int64, error) {
	return s[len(s)-1].ID, int64(len(s)), nil
}
