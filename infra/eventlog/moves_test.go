package eventlog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func (m *model) complete(t *rapid.T) {
	a := m.anyAttempt(t)
	result := json.RawMessage(rapid.SampledFrom(payloads[1:]).Draw(t, "result"))
	n, want := m.fence(a, a.Token)
	m.decide(fmt.Sprintf("complete %s %d", a.Task, a.Number), n, func() string {
		_, err := m.hand.log.Complete(m.Context(), a, time.Millisecond, result)
		return outcome(err)
	}, want)
	m.ended(n, a)
}

func (m *model) fail(t *rapid.T) {
	a := m.anyAttempt(t)
	retry := m.retryIn(t, a.Task)
	n, want := m.fence(a, a.Token)
	m.decide(fmt.Sprintf("fail %s %d", a.Task, a.Number), n, func() string {
		_, err := m.hand.log.Fail(m.Context(), a, time.Millisecond, events.ReasonError, "no \"luck\"\n", retry)
		return outcome(err)
	}, want)
	m.ended(n, a)
}

// retryIn draws the delay of a retry: nil when no attempt is left.
func (m *model) retryIn(t *rapid.T, task string) *time.Duration {
	delay := rapid.SampledFrom([]*time.Duration{new(time.Millisecond), nil, new(time.Duration(0)), new(hour)}).Draw(t, "retry")
	if m.tasks[task].Attempts() >= m.tasks[task].MaxAttempts {
		return nil
	}
	return delay
}

func (m *model) release(t *rapid.T) {
	retry := rapid.SampledFrom([]*time.Duration{nil, new(time.Millisecond), new(hour)}).Draw(t, "retry")
	a, n, want := eventlog.Attempt{}, 1, "ok"
	due := slices.DeleteFunc(slices.Clone(modelTasks), func(id string) bool { return m.tasks[id].State != events.StateDue })
	if len(due) > 0 && rapid.Bool().Draw(t, "before start") {
		a = m.take(rapid.SampledFrom(due).Draw(t, "task"), "w1")
	} else {
		a = m.anyAttempt(t)
		n, want = m.fence(a, events.ReleasedToken(a.Token))
	}
	m.decide(fmt.Sprintf("release %s %d", a.Task, a.Number), n, func() string {
		_, err := m.hand.log.Release(m.Context(), a, events.ReasonShutdown, retry)
		return outcome(err)
	}, want)
	m.ended(n, a) // one that was not started has no mutex under this token
}

func (m *model) extend(t *rapid.T) {
	a := m.anyAttempt(t)
	want := "fenced"
	if holds(m.tasks[a.Task], a) {
		want = "ok"
	}
	m.decide(fmt.Sprintf("extend %s %d", a.Task, a.Number), 0, func() string {
		return outcome(must(m.hand.log.Extend(m.Context(), m.p, hour, []eventlog.Attempt{a}))(m)[0])
	}, want)
	if want == "ok" {
		m.over[a.Task] = false
		m.grabbed(a)
	}
}

// expire lets a lease end; the worker may still extend it, and does not know.
func (m *model) expire(t *rapid.T) {
	id := m.anyTask(t, events.StateActive)
	if m.tasks[id].State != events.StateActive {
		t.Skip("nobody runs it")
	}
	m.t.Logf("expire %s", id)
	m.expireLease(id)
	m.over[id] = true
	m.last = nil
}

// abandon does what the sweeper does for each overdue lease, and for one that is not overdue or not
// there: the log must refuse these.
func (m *model) abandon(t *rapid.T) {
	id := m.anyTask(t, events.StateActive)
	task := m.tasks[id]
	if task.State == events.StateNone {
		t.Skip("no such task")
	}
	if task.State == events.StateActive && !odd(t, "not overdue") {
		m.expireLease(id)
		m.over[id] = true
	}
	swept := must(m.hand.log.Sweep(m.Context(), m.p, hour, hour))(m)
	if overdue := m.overdue(); swept.Spared > 0 || !slices.Equal(slices.Sorted(slices.Values(swept.Overdue)), overdue) {
		m.Fatalf("a sweep found %+v, and the leases of %v have ended", swept, overdue)
	}
	retry := m.retryIn(t, id)
	n, want := 0, "fenced"
	if slices.Contains(swept.Overdue, id) {
		n, want = 1, "ok"
	}
	m.decide(fmt.Sprintf("abandon %s %d", id, task.Attempt), n, func() string {
		_, err := m.hand.log.Abandon(m.Context(), id, task.Attempt, task.Worker, time.Second, retry)
		return outcome(err)
	}, want)
	m.ended(n, eventlog.Attempt{Task: id, Token: task.Token})
	m.answer = "fenced" // asked again it cannot tell its own work from that of another sweeper: nothing is to be done
}

func (m *model) cancel(t *rapid.T) {
	id := m.anyTask(t)
	n, want := 1, "ok"
	switch s := m.tasks[id].State; s {
	case events.StateNone:
		n, want = 0, "not found"
	case events.StateCompleted, events.StateFailed:
		n, want = 0, "refused "+string(s)
	case events.StateCancelled:
		n = 0
	default:
	}
	m.decide("cancel "+id, n, func() string {
		_, err := m.hand.log.Cancel(m.Context(), id, "test", "no \"need\"")
		return outcome(err)
	}, want)
}

func (m *model) retry(t *rapid.T) {
	id := m.anyTask(t, events.StateFailed, events.StateCancelled)
	if !odd(t, "the same again") {
		m.retries++
	}
	request := fmt.Sprintf("retry %d", m.retries)
	n, want := 1, "ok"
	switch task := m.tasks[id]; {
	case task.State == events.StateNone:
		n, want = 0, "not found"
	case task.RetryID == request:
		n = 0
	case task.State != events.StateFailed && task.State != events.StateCancelled:
		n, want = 0, "refused "+string(task.State)
	}
	m.decide("retry "+id+" "+request, n, func() string {
		_, err := m.hand.log.Retry(m.Context(), id, "test", request)
		return outcome(err)
	}, want)
}

func (m *model) pause(*rapid.T) {
	n := 1
	if m.paused("q") {
		n = 0
	}
	m.decide("pause q", n, func() string {
		_, err := m.hand.log.Pause(m.Context(), "q", "test")
		return outcome(err)
	}, "ok")
}

func (m *model) resume(t *rapid.T) {
	if !m.paused("q") {
		t.Skip("not paused")
	}
	m.decide("resume q", 1, func() string {
		_, err := m.hand.log.Resume(m.Context(), "q", "test")
		return outcome(err)
	}, "ok")
}

// unlock lets a mutex expire.
func (m *model) unlock(t *rapid.T) {
	id := m.anyTask(t)
	m.t.Logf("unlock %s", id)
	if must(m.rdb.Del(m.Context(), m.p.Lock(id)).Result())(m) == 0 {
		t.Skip("not locked")
	}
	delete(m.mutex, id)
	m.last = nil
}

// lose takes from the ledgers what they know of a task, and mends that.
func (m *model) lose(t *rapid.T) {
	id := m.anyTask(t)
	task := m.tasks[id]
	ctx := m.Context()
	pipe := m.rdb.TxPipeline()
	want := ""
	switch task.State {
	case events.StateWaiting, events.StateDelayed, events.StateRetrying:
		for _, member := range m.waiting(task.Queue) {
			if strings.HasSuffix(member, ":"+id) {
				pipe.ZRem(ctx, m.p.Waiting(task.Queue), member)
			}
		}
		pipe.ZRem(ctx, m.p.Delayed, id)
		if want = "delayed"; task.State == events.StateWaiting {
			want = "waiting"
		}
	case events.StateDue:
		want = "dispatch"
		if rapid.Bool().Draw(t, "whole stream") {
			pipe.Del(ctx, m.p.Due(task.Queue))
			break
		}
		for _, entry := range m.dispatched(task.Queue)[id] {
			pipe.XDel(ctx, m.p.Due(task.Queue), entry.String())
		}
	case events.StateActive:
		pipe.ZRem(ctx, m.p.Leases, id)
		want = "lease"
		m.over[id] = true // the one that is put back
	default:
		t.Skip("it stands nowhere")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		m.Fatal(err)
	}
	m.t.Logf("lose %s", id)
	m.mend(id, want)
	for _, other := range modelTasks { // of the same dispatch stream
		if o := m.tasks[other]; other != id && o.State == events.StateDue && o.Queue == task.Queue && len(m.dispatched(o.Queue)[other]) == 0 {
			m.mend(other, "dispatch")
		}
	}
	err := m.rdb.XGroupCreateMkStream(ctx, m.p.Due(task.Queue), eventlog.Group, "0").Err()
	if err != nil && !redis.HasErrorPrefix(err, "BUSYGROUP") {
		m.Fatal(err)
	}
}

func (m *model) mend(id, want string) {
	m.decide("mend "+id, 0, func() string {
		return must(m.hand.log.Mend(m.Context(), m.p, id, m.tasks[id].Queue))(m)
	}, want)
	m.stale[id] = m.stale[id] || want == "dispatch"
	m.answer = "" // asked again, nothing is amiss
}
