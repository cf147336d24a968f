package rebuilder_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/rebuilder"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "12", "rapid.steps": "60"} { // unless the command line says else
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

const hour = time.Hour

// house is a log and what happens to it.
type house struct {
	log  *eventlog.Log
	rdb  redis.UniversalClient
	fail func(args ...any)
	held map[string]eventlog.Attempt // that run
}

func (h *house) must(err error) {
	if err != nil && !errors.Is(err, eventlog.ErrFenced) && !errors.Is(err, eventlog.ErrNotFound) {
		if _, refused := errors.AsType[*eventlog.RefusedError](err); !refused {
			h.fail(err)
		}
	}
}

// rowsOf returns the tasks of all partitions that are in some state.
func (h *house) rowsOf(ctx context.Context, state events.State) (found []events.Task) {
	for _, p := range h.log.Partitions() {
		for _, key := range h.rdb.Keys(ctx, p.Task("*")).Val() {
			t, err := h.log.Task(ctx, strings.TrimPrefix(key, p.Task("")))
			h.must(err)
			if t.State == state {
				found = append(found, t)
			}
		}
	}
	slices.SortFunc(found, func(a, b events.Task) int { return strings.Compare(a.ID, b.ID) })
	return found
}

// promote moves to the waiting ones what is due, and waits for what is due in a moment.
func (h *house) promote(ctx context.Context) {
	for _, p := range h.log.Partitions() {
		for _, z := range h.rdb.ZRangeWithScores(ctx, p.Delayed, 0, -1).Val() {
			now, err := h.log.Now(ctx)
			h.must(err)
			if z.Score > float64(now.UnixMilli()+1000) {
				continue
			}
			for ; float64(now.UnixMilli()) < z.Score; h.must(err) {
				now, err = h.log.Now(ctx)
			}
			t, err := h.log.Task(ctx, z.Member.(string))
			h.must(err)
			_, err = h.log.Promote(ctx, p, t.Queue, []eventlog.Promotion{{Task: t.ID, Queue: t.Queue, Priority: t.Priority, Requested: t.Events[0]}})
			h.must(err)
		}
	}
}

// deed does something to the log, drawn at random.
func (h *house) deed(ctx context.Context, t *rapid.T) {
	task := fmt.Sprintf("t%d", rapid.IntRange(0, 30).Draw(t, "task"))
	queue := rapid.SampledFrom([]string{"q", "mail", "a b:c"}).Draw(t, "queue")
	delay := func() *time.Duration {
		return rapid.SampledFrom([]*time.Duration{nil, new(time.Millisecond), new(hour)}).Draw(t, "delay")
	}
	switch rapid.SampledFrom([]string{"request", "request", "due", "due", "start", "start", "start", "complete", "fail", "release", "give back", "abandon", "cancel", "retry", "pause", "resume", "promote", "retire"}).Draw(t, "deed") {
	case "request":
		r := eventlog.Request{Task: task, Label: events.Label{Queue: queue, Name: "näme <&>"}, Definition: events.Definition{
			MaxAttempts: 3, Priority: rapid.IntRange(0, 9).Draw(t, "priority"), RequestID: rapid.SampledFrom([]string{"", "r"}).Draw(t, "request id"),
			Payload: rapid.SampledFrom([][]byte{nil, []byte(`{"a":1,"a":"<b>\u00e9"}`), []byte(`"` + strings.Repeat("x", 600) + `"`), []byte(`1e400`)}).Draw(t, "payload"),
			Backoff: events.Backoff{Type: events.BackoffFixed, DelayMs: 1},
		}}
		if d := delay(); d != nil {
			r.Delay = *d
		}
		_, err := h.log.Request(ctx, r)
		h.must(err)
	case "due":
		for _, p := range h.log.Partitions() {
			members := h.rdb.ZRange(ctx, p.Waiting(queue), 0, int64(rapid.IntRange(0, 3).Draw(t, "n"))).Val()
			if len(members) > 0 {
				_, err := h.log.Due(ctx, p, queue, 100, members)
				h.must(err)
			}
		}
	case "start":
		h.one(t, events.StateDue, ctx, func(row events.Task) {
			a := eventlog.Attempt{Task: row.ID, Queue: row.Queue, Number: row.Attempt + 1, Token: fmt.Sprintf("token %d", len(row.Events)), Worker: "w1", Entry: row.Events[len(row.Events)-1]}
			h.must(h.rdb.Set(ctx, h.log.Of(row.ID).Lock(row.ID), a.Token, hour).Err()) // an attempt that is over may still hold it
			_, err := h.log.Start(ctx, a, time.Minute)
			h.must(err)
			a.Entry = events.ID{}
			h.held[row.ID] = a
		})
	case "complete":
		h.one(t, events.StateActive, ctx, func(row events.Task) {
			_, err := h.log.Complete(ctx, h.held[row.ID], time.Second, []byte(`{"r":1}`))
			h.must(err)
		})
	case "fail":
		h.one(t, events.StateActive, ctx, func(row events.Task) {
			retry := delay()
			if row.Attempts() >= row.MaxAttempts {
				retry = nil
			}
			_, err := h.log.Fail(ctx, h.held[row.ID], time.Second, events.ReasonError, "no", retry)
			h.must(err)
		})
	case "release":
		h.one(t, events.StateActive, ctx, func(row events.Task) {
			_, err := h.log.Release(ctx, h.held[row.ID], events.ReasonShutdown, delay())
			h.must(err)
		})
	case "give back":
		h.one(t, events.StateDue, ctx, func(row events.Task) {
			a := eventlog.Attempt{Task: row.ID, Queue: row.Queue, Number: row.Attempt + 1, Worker: "w1", Entry: row.Events[len(row.Events)-1]}
			_, err := h.log.Release(ctx, a, events.ReasonNoHandler, delay())
			h.must(err)
		})
	case "abandon":
		h.one(t, events.StateActive, ctx, func(row events.Task) {
			h.must(h.rdb.ZAdd(ctx, h.log.Of(row.ID).Leases, redis.Z{Score: 1, Member: row.ID}).Err())
			retry := delay()
			if row.Attempts() >= row.MaxAttempts {
				retry = nil
			}
			_, err := h.log.Abandon(ctx, row.ID, row.Attempt, row.Worker, time.Second, retry)
			h.must(err)
		})
	case "cancel":
		_, err := h.log.Cancel(ctx, task, "test", "")
		h.must(err)
	case "retry":
		_, err := h.log.Retry(ctx, task, "test", fmt.Sprintf("retry of %s", task))
		h.must(err)
	case "pause":
		_, err := h.log.Pause(ctx, queue, "test")
		h.must(err)
	case "resume":
		_, err := h.log.Resume(ctx, queue, "test")
		h.must(err)
	case "promote":
		h.promote(ctx)
	case "retire":
		h.must(testredis.Retire(ctx, h.log, rapid.IntRange(0, 3).Draw(t, "keep")))
	}
}

func (h *house) one(t *rapid.T, state events.State, ctx context.Context, f func(events.Task)) {
	if found := h.rowsOf(ctx, state); len(found) > 0 {
		f(rapid.SampledFrom(found).Draw(t, "of"))
	}
}

// state returns what must come again, by key, and the ends of leases.
func (h *house) state(ctx context.Context) (state map[string]string, ends map[string]float64) {
	state, ends = map[string]string{}, map[string]float64{}
	for _, p := range h.log.Partitions() {
		base := strings.TrimSuffix(p.Task(""), "task:")
		for _, key := range h.rdb.Keys(ctx, base+"*").Val() {
			switch name := strings.TrimPrefix(key, base); {
			case strings.HasPrefix(name, "task:"):
				state[key] = fmt.Sprintf("%q, until %d", h.rdb.HGetAll(ctx, key).Val(), h.rdb.PExpireTime(ctx, key).Val())
			case name == "delayed", strings.HasPrefix(name, "waiting:"):
				state[key] = fmt.Sprint(h.rdb.ZRangeWithScores(ctx, key, 0, -1).Val())
			case strings.HasPrefix(name, "due:"):
				if entries := h.rdb.Do(ctx, "XRANGE", key, "-", "+").Val(); len(entries.([]any)) > 0 {
					state[key] = fmt.Sprintf("%q", entries)
				}
			case name == "leases":
				for _, z := range h.rdb.ZRangeWithScores(ctx, key, 0, -1).Val() {
					ends[z.Member.(string)] = z.Score
				}
			case name == "queues", name == "paused":
				state[key] = fmt.Sprintf("%q", slices.Sorted(maps.Keys(h.rdb.SMembersMap(ctx, key).Val())))
			case name == "ready": // a queue may stand there in which nothing waits any more
				for _, q := range h.rdb.SMembers(ctx, key).Val() {
					if h.rdb.Exists(ctx, p.Waiting(q)).Val() == 1 {
						state[key+" "+q] = "ready"
					}
				}
			case strings.HasPrefix(name, "lock:task:"):
				if t, err := h.log.Task(ctx, strings.TrimPrefix(name, "lock:task:")); err == nil && t.State == events.StateActive {
					state[key] = h.rdb.Get(ctx, key).Val()
				}
			}
		}
	}
	return state, ends
}

// lose deletes every key but the log, what was fixed at its first use, and which rows went because there were too
// many.
func (h *house) lose(ctx context.Context) {
	for _, key := range h.rdb.Keys(ctx, "*").Val() {
		if !strings.HasSuffix(key, "}:events") && !strings.HasSuffix(key, ":meta") && !strings.HasSuffix(key, "}:retired") {
			h.must(h.rdb.Del(ctx, key).Err())
		}
	}
}

func (h *house) same(ctx context.Context, before map[string]string, ends map[string]float64) {
	after, now := h.state(ctx)
	for key := range before {
		if before[key] != after[key] {
			h.fail(fmt.Sprintf("%s\n is %s\nwas %s", key, after[key], before[key]))
		}
	}
	for key := range after {
		if _, there := before[key]; !there {
			h.fail(fmt.Sprintf("%s is new: %s", key, after[key]))
		}
	}
	if !slices.Equal(slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(ends))) {
		h.fail(fmt.Sprintf("leases of %v, and there were %v", now, ends))
	}
	for task, end := range now {
		if end < ends[task] {
			h.fail(fmt.Sprintf("the lease of %s ends at %f, and ended at %f", task, end, ends[task]))
		}
	}
}

func TestRowsThatWereTooManyGoAgainWhenItIsLostThatTheyHad(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 2)
	h := &house{log: log, rdb: log.Conn().View, fail: t.Fatal}
	for i := range 60 {
		task := fmt.Sprintf("t%d", i)
		_, err := log.Request(t.Context(), eventlog.Request{
			Task: task, Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
		})
		h.must(err)
		if i%7 > 0 {
			_, err := log.Cancel(t.Context(), task, "test", "")
			h.must(err)
		}
	}
	h.must(testredis.Retire(t.Context(), log, 5))
	before, ends := h.state(t.Context())
	for _, p := range log.Partitions() {
		h.must(h.rdb.Del(t.Context(), p.Retired).Err())
	}
	sum, err := rebuilder.Run(t.Context(), log, rebuilder.Config{LeaseTTL: time.Minute})
	h.must(err)
	if n := len(h.rowsOf(t.Context(), events.StateCancelled)); int64(n) != sum.Tasks[events.StateCancelled] || n < 50 {
		t.Errorf("%d rows of tasks that are over, and there are %d", n, sum.Tasks[events.StateCancelled])
	}
	h.must(testredis.Retire(t.Context(), log, 5))
	h.same(t.Context(), before, ends)
}

func TestWhatIsMadeAgainIsWhatWasLost(t *testing.T) {
	server := testredis.Start(t)
	log := testredis.Open(t, server.URL(), 2)
	rdb := log.Conn().View
	rapid.Check(t, func(t *rapid.T) {
		ctx := t.Context()
		if err := rdb.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		h := &house{log: log, rdb: rdb, fail: t.Fatal, held: map[string]eventlog.Attempt{}}
		for range rapid.IntRange(1, 150).Draw(t, "deeds") {
			h.deed(ctx, t)
		}
		h.promote(ctx)
		before, ends := h.state(ctx)
		memory := rapid.SampledFrom([]int{1, 5000, 0}).Draw(t, "memory")
		if rapid.Bool().Draw(t, "lost") {
			h.lose(ctx)
		}
		defer rebuilder.SetReadPage(rapid.IntRange(1, 40).Draw(t, "page"))()
		sum, err := rebuilder.Run(ctx, log, rebuilder.Config{LeaseTTL: time.Minute, Memory: memory})
		if err != nil || sum.Illegal > 0 || sum.Skipped > 0 {
			t.Fatal(sum, err)
		}
		h.same(ctx, before, ends)
		if n := rdb.Exists(ctx, log.Partitions()[0].Rebuild, log.Partitions()[1].Rebuild).Val(); n != 0 {
			t.Fatal("a gate is shut")
		}
	})
}

func TestADefinitionOfAnySizeIsMadeAgainAsItWas(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	h := &house{log: log, rdb: log.Conn().View, fail: t.Fatal}
	ctx, p := t.Context(), log.Partitions()[0]
	payloads := map[string]string{}
	for n := range 320 {
		task := fmt.Sprint("t", n)
		payloads[task] = `"` + strings.Repeat("x", n) + `"`
		_, err := log.Request(ctx, eventlog.Request{
			Task: task, Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1, Payload: []byte(payloads[task])},
		})
		h.must(err)
	}
	if encoding := h.rdb.ObjectEncoding(ctx, p.Task("t100")).Val(); encoding != "listpack" {
		t.Errorf("a row with a small payload is a %s", encoding)
	}
	before, ends := h.state(ctx)
	h.lose(ctx)
	_, err := rebuilder.Run(ctx, log, rebuilder.Config{LeaseTTL: time.Minute})
	h.must(err)
	h.same(ctx, before, ends)
	for members := range slices.Chunk(h.rdb.ZRange(ctx, p.Waiting("q"), 0, -1).Val(), eventlog.MaxItems) {
		_, err := log.Due(ctx, p, "q", len(payloads), members)
		h.must(err)
	}
	for _, row := range h.rowsOf(ctx, events.StateDue) {
		s, err := log.Start(ctx, eventlog.Attempt{Task: row.ID, Queue: "q", Number: 1, Token: "token", Worker: "w", Entry: row.Events[1]}, hour)
		h.must(err)
		if string(s.Payload) != payloads[row.ID] {
			t.Errorf("%s starts with the payload %s", row.ID, s.Payload)
		}
		delete(payloads, row.ID)
	}
	if len(payloads) > 0 {
		t.Errorf("%d tasks were not started", len(payloads))
	}
}
