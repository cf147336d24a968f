package verifier_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/audit"
	"github.com/tasklog/tasklog/services/verifier"
)

func TestALogOfOursIsProved(t *testing.T) {
	each(t, func(h *house) {
		h.fill()
		h.project()
		r := h.good()
		if r.Tasks != 10 || r.Compared.Rows != 10 || r.Compared.Ledgers < 6 || r.Compared.Views == 0 || r.Compared.Index != 10 {
			t.Errorf("%+v", r)
		}
		for s, n := range map[events.State]int64{"completed": 2, "retrying": 2, "active": 1, "due": 1, "waiting": 1, "delayed": 1} {
			if r.States[s] != n {
				t.Errorf("%d tasks are %s, want %d", r.States[s], s, n)
			}
		}
		if slices.Contains(r.NoExample, "type TaskStarted") || !slices.Contains(r.NoExample, "reason panic") {
			t.Errorf("no example of %v", r.NoExample)
		}
		h.request("one more", 0, 0) // the views lag behind: that is no difference
		h.good()
		h.project()
		h.good()
	})
}

func TestAFullRedisIsProved(t *testing.T) {
	h := open(t, testredis.Start(t).URL())
	h.fill()
	h.project()
	h.must(h.rdb.ConfigSet(t.Context(), "maxmemory", "1").Err())
	if r := h.good(); r.Tasks != 10 || r.Compared.Views == 0 || r.Compared.Index != 10 {
		t.Errorf("%+v", r)
	}
}

func TestATaskThatWasRetriedWaitsWhereItFirstDid(t *testing.T) {
	each(t, func(h *house) {
		for _, id := range []string{"cancelled", "failed"} {
			a := h.run(id)
			if id == "failed" {
				_, err := h.log.Fail(h.Context(), a, time.Second, events.ReasonRejected, "no", nil)
				h.must(err)
			} else {
				_, err := h.log.Cancel(h.Context(), id, "test", "")
				h.must(err)
			}
			_, err := h.log.Retry(h.Context(), id, "test", "r1")
			h.must(err)
		}
		h.good()
	})
}

func TestAnEmptyLogIsProvedAndIsAnExampleOfNothing(t *testing.T) {
	each(t, func(h *house) {
		if r := h.good(); r.Events != 0 || len(r.NoExample) < len(audit.Invariants()) {
			t.Errorf("%+v", r)
		}
	})
}

// damage is something that somebody does to what lies beside the log.
type damage struct {
	do   func(h *house) error
	key  func(h *house) string
	text string
}

func key(f func(p eventlog.Partition) string) func(h *house) string {
	return func(h *house) string { return f(h.p) }
}

var (
	delayed  = key(func(p eventlog.Partition) string { return p.Delayed })
	leases   = key(func(p eventlog.Partition) string { return p.Leases })
	waiting  = key(func(p eventlog.Partition) string { return p.Waiting("q") })
	dispatch = key(func(p eventlog.Partition) string { return p.Due("q") })
)

func rowOf(id string) func(h *house) string {
	return key(func(p eventlog.Partition) string { return p.Task(id) })
}

func viewOf(name string) func(h *house) string {
	return key(func(p eventlog.Partition) string { return p.View(name) })
}

// set changes a field of a task's row.
func set(id, field, value string) damage {
	return damage{func(h *house) error { return h.rdb.HSet(h.Context(), h.p.Task(id), field, value).Err() }, rowOf(id), ""}
}

func (d damage) says(text string) damage {
	d.text = text
	return d
}

var damages = map[string]damage{
	"a row is gone":                {func(h *house) error { return h.rdb.Del(h.Context(), h.p.Task("active")).Err() }, rowOf("active"), "it is missing"},
	"a row of a task that is over": {func(h *house) error { return h.rdb.Del(h.Context(), h.p.Task("completed")).Err() }, rowOf("completed"), "it is missing"},
	"a row of nobody": {func(h *house) error {
		fields := h.rdb.HGetAll(h.Context(), h.p.Task("due")).Val()
		return h.rdb.HSet(h.Context(), h.p.Task("nobody"), fields).Err()
	}, rowOf("nobody"), "the log knows no such task"},
	"a foreign row":       {func(h *house) error { return h.rdb.HSet(h.Context(), h.p.Task("x"), "a", "b").Err() }, rowOf("x"), "the log knows no such task"},
	"a row of other type": {func(h *house) error { return h.rdb.Set(h.Context(), h.p.Task("due"), "x", 0).Err() }, rowOf("due"), "missing"},
	"a state":             set("completed", "state", "failed").says("its state is failed and not completed"),
	"a state that is not": set("active", "state", "odd").says("its state is odd"),
	"an attempt":          set("retrying", "attempt", "2").says("other attempts"),
	"a due time":          set("delayed", "dueAt", "1").says("another due time"),
	"a token":             set("active", "token", "x").says("another token or worker"),
	"a worker":            set("failed", "worker", "x").says("another token or worker"),
	"a definition": {func(h *house) error {
		row := h.p.Task("waiting")
		return errors.Join(h.rdb.HDel(h.Context(), row, "def1", "def2").Err(), h.rdb.HSet(h.Context(), row, "def", `"priority":7,"maxAttempts":3`).Err())
	}, rowOf("waiting"), "another definition"},
	"a retry": set("again", "retry", "r2 1-0").says("another retry"),
	"events":  set("due", "9999999999999-0", "").says("its newest event is 9999999999999-0"),
	"a queue": set("waiting", "queue", "other").says("its queue or priority"),

	"a delayed one is gone":      {func(h *house) error { return h.rdb.ZRem(h.Context(), h.p.Delayed, "delayed").Err() }, delayed, "it is missing"},
	"a retrying one is gone":     {func(h *house) error { return h.rdb.ZRem(h.Context(), h.p.Delayed, "retrying").Err() }, delayed, "it is missing"},
	"a delayed one is due later": {func(h *house) error { return h.rdb.ZIncrBy(h.Context(), h.p.Delayed, 1, "delayed").Err() }, delayed, "another due time"},
	"one too many is delayed":    {func(h *house) error { return add(h, h.p.Delayed, 1, "active") }, delayed, "does not belong here"},
	"a finished one is delayed":  {func(h *house) error { return add(h, h.p.Delayed, 1, "completed") }, delayed, "task completed is completed"},
	"nobody is delayed":          {func(h *house) error { return add(h, h.p.Delayed, 1, "nobody") }, delayed, "the log knows none"},
	"a lease is gone":            {func(h *house) error { return h.rdb.ZRem(h.Context(), h.p.Leases, "active").Err() }, leases, "it is missing"},
	"a lease too many":           {func(h *house) error { return add(h, h.p.Leases, 1, "due") }, leases, "does not belong here"},
	"a lease of nobody":          {func(h *house) error { return add(h, h.p.Leases, 1, "nobody") }, leases, "the log knows none"},
	"a waiting one is gone":      {func(h *house) error { return h.rdb.Del(h.Context(), h.p.Waiting("q")).Err() }, waiting, "it is missing"},
	"nonsense waits":             {func(h *house) error { return add(h, h.p.Waiting("q"), 1, "x") }, waiting, "x names task"},
	"one waits too early": {func(h *house) error {
		row, err := h.log.Task(h.Context(), "delayed")
		h.must(err)
		h.must(h.rdb.ZRem(h.Context(), h.p.Delayed, "delayed").Err())
		return add(h, h.p.Waiting("q"), 0, eventlog.Place(row.Events[0], "delayed"))
	}, waiting, "is not due before"},
	"another priority": {func(h *house) error {
		member := h.rdb.ZRange(h.Context(), h.p.Waiting("q"), 0, 0).Val()
		return add(h, h.p.Waiting("q"), 1, member[0])
	}, waiting, "another priority"},
	"a queue is not ready":         {func(h *house) error { return h.rdb.SRem(h.Context(), h.p.Ready, "q").Err() }, key(func(p eventlog.Partition) string { return p.Ready }), `queue "q" is missing`},
	"a queue is unknown":           {func(h *house) error { return h.rdb.SRem(h.Context(), h.p.Queues, "q").Err() }, key(func(p eventlog.Partition) string { return p.Queues }), `queue "q" is missing`},
	"a queue runs that was paused": {func(h *house) error { return h.rdb.SRem(h.Context(), h.p.Paused, "mail").Err() }, key(func(p eventlog.Partition) string { return p.Paused }), `queue "mail" is there: false`},
	"a queue is paused by nobody":  {func(h *house) error { return h.rdb.SAdd(h.Context(), h.p.Paused, "x").Err() }, key(func(p eventlog.Partition) string { return p.Paused }), "nobody paused it"},
	"a dispatch entry is gone": {func(h *house) error {
		row, err := h.log.Task(h.Context(), "due")
		h.must(err)
		return h.rdb.XDel(h.Context(), h.p.Due("q"), row.Events[len(row.Events)-1].String()).Err()
	}, dispatch, "no entry hands out attempt 1"},
	"a dispatch entry of nobody": {func(h *house) error {
		return h.rdb.XAdd(h.Context(), &redis.XAddArgs{Stream: h.p.Due("q"), Values: []any{"task", "nobody", "attempt", 1}}).Err()
	}, dispatch, "the log knows none"},
	"a dispatch entry that is none": {func(h *house) error {
		return h.rdb.XAdd(h.Context(), &redis.XAddArgs{Stream: h.p.Due("q"), Values: []any{"a", "b"}}).Err()
	}, dispatch, `names task ""`},
	"a dispatch entry in another queue": {func(h *house) error {
		return h.rdb.XAdd(h.Context(), &redis.XAddArgs{Stream: h.p.Due("mail"), Values: []any{"task", "due", "attempt", 1}}).Err()
	}, key(func(p eventlog.Partition) string { return p.Due("mail") }), "does not belong here"},

	"a count":         {func(h *house) error { return h.rdb.HSet(h.Context(), h.p.View("queues"), "q", `{}`).Err() }, viewOf("queues"), `field "q" is {}`},
	"a field is gone": {func(h *house) error { return h.rdb.HDel(h.Context(), h.p.View("workers"), "w").Err() }, viewOf("workers"), `field "w" is missing`},
	"a field too many": {func(h *house) error {
		return h.rdb.HSet(h.Context(), h.p.View("throughput"), "1 q", `{}`).Err()
	}, viewOf("throughput"), "the log gives none"},
	"a checkpoint": {func(h *house) error {
		return h.rdb.HSet(h.Context(), h.p.View("head"), "checkpoint", "9999999999999-0").Err()
	}, viewOf("head"), "the log has no such entry"},
	"how much was read":      {func(h *house) error { return h.rdb.HSet(h.Context(), h.p.View("head"), "read", "3").Err() }, viewOf("head"), "3 entries read"},
	"views of other version": {func(h *house) error { return h.rdb.HSet(h.Context(), h.p.View("head"), "version", "0").Err() }, viewOf("head"), "no usable views"},
	"the index misses one": {func(h *house) error {
		return h.rdb.ZRem(h.Context(), h.indexKey(h.Context(), "failed"), "failed").Err()
	}, viewOf("tasks"), "task failed is missing"},
	"the index has one too many": {func(h *house) error {
		return add(h, h.indexKey(h.Context(), "failed"), 1, "active")
	}, viewOf("tasks"), "task active stands among the failed ones"},
	"the index has another time": {func(h *house) error {
		return add(h, h.indexKey(h.Context(), "delayed"), 1, "delayed")
	}, viewOf("tasks"), "task delayed stands at 1"},
	"the index misses a completed one": {func(h *house) error { return h.rdb.LPop(h.Context(), h.indexKey(h.Context(), "completed")).Err() }, viewOf("tasks"), "1 tasks stand among the completed ones"},
	"the index has a completed one too many": {func(h *house) error {
		return h.rdb.RPush(h.Context(), h.indexKey(h.Context(), "completed"), "1 active").Err()
	}, viewOf("tasks"), "task active stands among the completed ones"},
}

func add(h *house, key string, score float64, member string) error {
	return h.rdb.ZAdd(h.Context(), key, redis.Z{Score: score, Member: member}).Err()
}

func TestEveryDamageBesideTheLogIsNamed(t *testing.T) {
	srv := testredis.Start(t)
	for name, d := range damages {
		t.Run(name, func(t *testing.T) {
			h := open(t, srv.URL())
			h.must(h.rdb.FlushAll(t.Context()).Err())
			if err := h.log.Confirm(t.Context()); !errors.Is(err, eventlog.ErrForgotten) {
				t.Fatal(err)
			}
			h.fill()
			h.project()
			h.good()
			h.must(d.do(h))
			r := h.verify(verifier.Config{})
			if r.OK || r.ViolationCount != 0 || !says(r, d.key(h), d.text) {
				t.Errorf("ok %t, violations %v, differences %v; want that %s %q", r.OK, r.Violations, r.Differences, d.key(h), d.text)
			}
			if r.DifferenceCount != int64(len(r.Differences)) {
				t.Errorf("%d differences, %d told", r.DifferenceCount, len(r.Differences))
			}
		})
	}
}

func TestWhatIsWrongInTheLogIsAViolation(t *testing.T) {
	each(t, func(h *house) {
		h.fill()
		h.must(h.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: h.p.Events, Values: []any{"a", "b"}}).Err())
		h.must(h.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: h.p.Events, Values: []any{
			"type", "TaskStarted", "task", "cancelled", "v", 1, "data", `{"queue":"q","name":"test","attempt":2,"worker":"w","token":"t","waitMs":0}`,
		}}).Err())
		r := h.verify(verifier.Config{Limit: 2})
		var broken []audit.Invariant
		for _, v := range r.Violations {
			broken = append(broken, v.Invariant)
		}
		if r.OK || r.Undecodable != 1 || !slices.Equal(broken, []audit.Invariant{audit.Known, audit.Cancelled}) {
			t.Errorf("ok %t, %d no events, violations %v", r.OK, r.Undecodable, r.Violations)
		}
		if r := h.verify(verifier.Config{Undecodable: true}); r.ViolationCount != 1 || r.Undecodable != 1 {
			t.Errorf("violations %v, want one; %d no events, want 1", r.Violations, r.Undecodable)
		}
		if r := h.verify(verifier.Config{Settled: true}); r.Checked[audit.Settled] != 10 || r.ViolationCount != 2+7 {
			t.Errorf("%d of %d tasks are not final: %v", r.ViolationCount-2, r.Checked[audit.Settled], r.Violations)
		}
	})
}

func TestATrimmedLogIsProvedAsFarAsItGoes(t *testing.T) {
	h := open(t, testredis.Start(t).URL())
	h.fill()
	h.project()
	h.must(h.rdb.XTrimMaxLen(t.Context(), h.p.Events, 9).Err())
	if r := h.good(); r.Believed == 0 || len(r.Notes) == 0 || r.Compared.Rows != 10 {
		t.Errorf("%d tasks believed, %d rows, notes %v", r.Believed, r.Compared.Rows, r.Notes)
	}
}

func TestAnEntryThatWasDeletedFromWithinTheLogIsAViolation(t *testing.T) {
	h := open(t, testredis.Start(t).URL())
	h.fill()
	list, err := h.log.Range(t.Context(), h.p, events.ID{}, events.MaxID, 10)
	h.must(err)
	h.must(h.rdb.XDel(t.Context(), h.p.Events, list[5].ID.String()).Err())
	r := h.verify(verifier.Config{})
	if !slices.ContainsFunc(r.Violations, func(v audit.Violation) bool { return v.Invariant == audit.Whole && v.Entry == list[5].ID }) {
		t.Errorf("violations %v", r.Violations)
	}
}

func TestOnePartitionIsVerifiedAlone(t *testing.T) {
	h := open(t, testredis.Start(t).URL())
	h.fill()
	if r := h.verify(verifier.Config{One: true}); r.Partitions != 1 || r.Tasks != 10 {
		t.Errorf("%+v", r)
	}
	_, err := verifier.Run(t.Context(), h.log, verifier.Config{One: true, Partition: 1})
	if _, ok := errors.AsType[*events.FieldError](err); !ok {
		t.Errorf("%v, want a *events.FieldError", err)
	}
}

func TestEveryPartitionIsVerified(t *testing.T) {
	h := openMany(t, testredis.Start(t).URL(), 3)
	want := make([]int64, 3)
	for i := range 30 {
		id := "task " + strconv.Itoa(i)
		h.request(id, 0, 0)
		want[h.log.Of(id).N]++
	}
	if r := h.good(); r.Tasks != 30 || r.Compared.Rows != 30 || r.Partitions != 3 {
		t.Errorf("%d tasks, %d rows, %d partitions", r.Tasks, r.Compared.Rows, r.Partitions)
	}
	for n, tasks := range want {
		if r := h.verify(verifier.Config{One: true, Partition: n}); r.Tasks != tasks || !r.OK {
			t.Errorf("partition %d: %d tasks, want %d; %v", n, r.Tasks, tasks, r.Violations)
		}
	}
	// The events of one partition in another one.
	h.must(h.rdb.Rename(t.Context(), h.log.Partitions()[1].Events, h.log.Partitions()[0].Events).Err())
	r := h.verify(verifier.Config{Limit: 100})
	if !slices.ContainsFunc(r.Violations, func(v audit.Violation) bool { return v.Invariant == audit.Home }) {
		t.Errorf("violations %v", r.Violations)
	}
	if !slices.ContainsFunc(r.Differences, func(d verifier.Difference) bool {
		return d.Text == "the log knows no such task"
	}) {
		t.Errorf("differences %v", r.Differences)
	}
}

func TestARedisThatGoesAwayIsAnError(t *testing.T) {
	srv := testredis.Start(t)
	h := open(t, srv.URL())
	h.fill()
	srv.Kill()
	if _, err := verifier.Run(t.Context(), h.log, verifier.Config{}); !eventlog.Unavailable(err) {
		t.Errorf("%v, want that Redis is away", err)
	}
}

func TestTheReportIsThatOfTheDocs(t *testing.T) {
	h := open(t, testredis.Start(t).URL())
	h.fill()
	h.must(h.rdb.Del(t.Context(), h.p.Task("active")).Err())
	data, err := json.Marshal(h.verify(verifier.Config{Settled: true}))
	h.must(err)
	var got map[string]any
	h.must(json.Unmarshal(data, &got))
	for _, field := range []string{
		"ok", "events", "undecodable", "tasks", "types", "reasons", "states", "checked", "violations", "violationCount", "offBackoff",
		"believed", "latency", "differences", "differenceCount", "noExample", "compared", "notes", "partitions", "tookMs",
	} {
		if _, ok := got[field]; !ok {
			t.Errorf("no field %q", field)
		}
	}
	first, _ := got["violations"].([]any)[0].(map[string]any)
	if first["invariant"] != "settled" || first["task"] == "" || first["text"] == "" || first["entry"] == "" {
		t.Errorf("violation %v", first)
	}
}
