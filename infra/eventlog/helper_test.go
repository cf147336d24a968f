package eventlog_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "100", "rapid.steps": "50"} { // unless the command line says else
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// open connects to a Redis and opens the log with a number of partitions.
func open(t testing.TB, url string, partitions int) *eventlog.Log {
	t.Helper()
	return testredis.Open(t, url, partitions)
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Context() context.Context
}

// hour is a lease, a lock or a delay that does not end during a test.
const hour = time.Hour

// A hand does to a log what services do: each method is one decision, or the reads around it. Its
// tasks live in partition 0.
type hand struct {
	tester
	log *eventlog.Log
	p   eventlog.Partition
	rdb redis.UniversalClient

	// stale are tasks of which a dispatch entry may be left behind: one that was put back has another
	// id than the first one, so that only the worker who reads it can remove it.
	stale map[string]bool
}

func newHand(t tester, log *eventlog.Log) *hand {
	return &hand{tester: t, log: log, p: log.Partitions()[0], rdb: log.Conn().View}
}

// each runs a test with a hand on a log of its own, on a real Redis and on the embedded one.
func each(t *testing.T, f func(t *testing.T, h *hand)) {
	t.Helper()
	testredis.Each(t, func(t *testing.T, url string) { f(t, newHand(t, open(t, url, 1))) })
}

// want is a request with what most tests do not care about.
func want(task string) eventlog.Request {
	return eventlog.Request{
		Task: task, Label: events.Label{Queue: "q", Name: "test"},
		Definition: events.Definition{MaxAttempts: 2, RequestID: "request of " + task},
	}
}

// must returns v when err is nil.
func must[V any](v V, err error) func(tester) V {
	return func(t tester) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (h *hand) request(r eventlog.Request) eventlog.Receipt {
	h.Helper()
	return must(h.log.Request(h.Context(), r))(h)
}

// requested puts a task into the log that waits for its turn.
func (h *hand) requested(tasks ...string) {
	h.Helper()
	for _, task := range tasks {
		h.request(want(task))
	}
}

// waiting returns the members of waiting:<queue>, best first.
func (h *hand) waiting(queue string) []string {
	h.Helper()
	return must(h.rdb.ZRange(h.Context(), h.p.Waiting(queue), 0, -1).Result())(h)
}

// due makes due all that waits in a queue.
func (h *hand) due(queue string) eventlog.Dispatched {
	h.Helper()
	return must(h.log.Due(h.Context(), h.p, queue, 1000, h.waiting(queue)))(h)
}

// dispatched returns the tasks in the dispatch stream of a queue, and the entry ids of each.
func (h *hand) dispatched(queue string) map[string][]events.ID {
	h.Helper()
	found := map[string][]events.ID{}
	for _, m := range must(h.rdb.XRange(h.Context(), h.p.Due(queue), "-", "+").Result())(h) {
		task, _ := m.Values["task"].(string)
		found[task] = append(found[task], must(events.ParseID(m.ID))(h))
	}
	return found
}

// take returns the attempt that a worker gets with the dispatch entry of a task, under a token and a
// worker id made of who.
func (h *hand) take(task, who string) eventlog.Attempt {
	h.Helper()
	row := h.task(task)
	a := eventlog.Attempt{Task: task, Queue: row.Queue, Number: row.Attempt + 1, Token: who + "-token", Worker: who}
	if entries := h.dispatched(row.Queue)[task]; len(entries) > 0 {
		a.Entry = entries[len(entries)-1]
	}
	return a
}

// lock takes the mutex of an attempt, if nobody has it, without starting it.
func (h *hand) lock(a eventlog.Attempt) {
	h.Helper()
	must(h.rdb.SetNX(h.Context(), h.p.Lock(a.Task), a.Token, hour).Result())(h)
}

// locked returns the value of a task's mutex, or "".
func (h *hand) locked(task string) string {
	h.Helper()
	values := must(h.rdb.MGet(h.Context(), h.p.Lock(task)).Result())(h)
	value, _ := values[0].(string)
	return value
}

// start starts the attempt that is due, as a worker does.
func (h *hand) start(task, who string) eventlog.Attempt {
	h.Helper()
	a := h.take(task, who)
	must(h.log.Start(h.Context(), a, hour))(h)
	a.Entry = events.ID{}
	return a
}

// running puts a task into the log that worker w1 runs.
func (h *hand) running(task string) eventlog.Attempt {
	h.Helper()
	h.requested(task)
	h.due("q")
	return h.start(task, "w1")
}

// expireLease lets the lease of a task end now.
func (h *hand) expireLease(task string) {
	h.Helper()
	ended := float64(must(h.log.Now(h.Context()))(h).UnixMilli())
	must(h.rdb.ZAddXX(h.Context(), h.p.Leases, redis.Z{Member: task, Score: ended}).Result())(h)
}

// await waits until Redis' clock is at t.
func (h *hand) await(ms int64) {
	h.Helper()
	for must(h.log.Now(h.Context()))(h).UnixMilli() < ms {
		continue
	}
}

func (h *hand) task(id string) events.Task {
	h.Helper()
	return must(h.log.Task(h.Context(), id))(h)
}

// all returns every event of a partition.
func (h *hand) all() []events.Event {
	h.Helper()
	var list []events.Event
	for _, e := range must(h.log.Range(h.Context(), h.p, events.ID{}, events.MaxID, 10_000))(h) {
		if e.Err != nil {
			h.Fatal(e.Err)
		}
		list = append(list, e.Event)
	}
	return list
}

// tell returns what happened to a task, such as "Requested Due Started(1,w1) Completed(1,w1)".
func (h *hand) tell(task string) string {
	h.Helper()
	var words []string
	for _, e := range h.all() {
		if e.Task == task {
			words = append(words, word(e.Data))
		}
	}
	return strings.Join(words, " ")
}

// expect fails the test unless the log tells this of a task, and the task's row is what the log says.
func (h *hand) expect(task, story string) {
	h.Helper()
	if got := h.tell(task); got != story {
		h.Errorf("the log says of task %s\n got %s\nwant %s", task, got, story)
	}
	h.agree(h.all(), task)
}

// unchanged fails the test if f appends anything.
func (h *hand) unchanged(f func()) {
	h.Helper()
	before := must(h.log.Len(h.Context(), h.p))(h)
	f()
	if after := must(h.log.Len(h.Context(), h.p))(h); after != before {
		h.Errorf("%d events were appended", after-before)
	}
}

// word is an event in short: its type, and of its body what tells it from others.
func word(d events.Data) string {
	final := func(retryAt int64) string {
		if retryAt > 0 {
			return ",retry"
		}
		return ""
	}
	switch d := d.(type) {
	case events.TaskRequested:
		if d.DelayMs > 0 {
			return "Requested(delayed)"
		}
		return "Requested"
	case events.TaskDue:
		if d.From != events.StateWaiting {
			return fmt.Sprintf("Due(%s)", d.From)
		}
		return "Due"
	case events.TaskStarted:
		return fmt.Sprintf("Started(%d,%s)", d.Attempt, d.Worker)
	case events.TaskCompleted:
		return fmt.Sprintf("Completed(%d,%s)", d.Attempt, d.Worker)
	case events.TaskFailed:
		return fmt.Sprintf("Failed(%d,%s%s)", d.Attempt, d.Reason, final(d.RetryAt))
	case events.TaskReleased:
		return fmt.Sprintf("Released(%d,%s,%s%s)", d.Attempt, d.From, d.Reason, final(d.RetryAt))
	case events.TaskCancelled:
		return fmt.Sprintf("Cancelled(%s)", d.From)
	case events.TaskRetryRequested:
		return fmt.Sprintf("RetryRequested(%s)", d.From)
	case events.QueuePaused:
		return fmt.Sprintf("Paused(%s)", d.Queue)
	case events.QueueResumed:
		return fmt.Sprintf("Resumed(%s)", d.Queue)
	}
	return string(d.Type())
}
