package eventlog_test

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// untold is what the model knows of mutexes and leases, of which no event tells.
type untold struct {
	mutex  map[string]string // task → token of who has its mutex
	over   map[string]bool   // task → its lease has ended, where it has one
	spared int               // leases that got more time because Redis was away
}

func newUntold() untold { return untold{mutex: map[string]string{}, over: map[string]bool{}} }

// checkUntold holds mutexes and leases against the model.
func (m *model) checkUntold() {
	m.Helper()
	ctx := m.Context()
	pipe := m.rdb.Pipeline()
	var keys []string
	for _, id := range modelTasks {
		keys = append(keys, m.p.Lock(id))
	}
	now, mutexes, leases := pipe.Time(ctx), pipe.MGet(ctx, keys...), pipe.ZRangeWithScores(ctx, m.p.Leases, 0, -1)
	if _, err := pipe.Exec(ctx); err != nil {
		m.Fatal(err)
	}
	for i, id := range modelTasks {
		if have, _ := mutexes.Val()[i].(string); have != m.mutex[id] {
			m.Errorf("the mutex of task %s has the value %q, and should have %q", id, have, m.mutex[id])
		}
	}
	for id, end := range scores(leases.Val()) {
		left := time.Duration(int64(end)-now.Val().UnixMilli()) * time.Millisecond
		if over := left <= 0; over != m.over[id] || !over && (left < hour/2 || left > hour) {
			m.Errorf("the lease of task %s has %s to go, and that it has ended is %t", id, left, m.over[id])
		}
	}
}

// lock takes a mutex, if nobody has it.
func (m *model) lock(a eventlog.Attempt) {
	m.Helper()
	m.grabbed(a)
	m.hand.lock(a)
}

// grabbed notes that an attempt has the mutex, if nobody had it.
func (m *model) grabbed(a eventlog.Attempt) {
	if m.mutex[a.Task] == "" {
		m.mutex[a.Task] = a.Token
	}
}

// ended notes that a decision ended an attempt, if it appended n > 0 events: it gives the mutex back,
// if the attempt still has it.
func (m *model) ended(n int, a eventlog.Attempt) {
	if n > 0 && m.mutex[a.Task] == a.Token {
		delete(m.mutex, a.Task)
	}
}

// overdue are the tasks that run beyond the end of their lease.
func (m *model) overdue() []string {
	return slices.DeleteFunc(slices.Clone(modelTasks), func(id string) bool {
		return m.tasks[id].State != events.StateActive || !m.over[id]
	})
}

// grab is a worker that takes the mutex of a task, and dies.
func (m *model) grab(t *rapid.T) {
	task := m.anyTask(t, events.StateDue)
	if m.tasks[task].State == events.StateNone {
		t.Skip("nobody asked for it")
	}
	a := m.take(task, "w3")
	a.Token += fmt.Sprint(len(m.attempts))
	m.t.Logf("grab %s", a.Task)
	m.lock(a)
	m.last = nil
}

// away lets Redis stand still for longer than any lease and mutex lives. It cannot turn the clock, so it
// turns back what the clock is held against. Then a sweep spares whoever runs, and nobody can be abandoned.
func (m *model) away(*rapid.T) {
	const away = 2 * hour
	ctx := m.Context()
	now := must(m.hand.log.Now(ctx))(m)
	pipe := m.rdb.TxPipeline()
	pipe.Set(ctx, m.p.Swept, strconv.FormatInt(now.Add(-away).UnixMilli(), 10), 0)
	running := 0
	for _, id := range modelTasks {
		if m.tasks[id].State == events.StateActive {
			pipe.ZIncrBy(ctx, m.p.Leases, -float64(away.Milliseconds()), id)
			m.over[id] = false // after the sweep
			running++
		}
		pipe.Del(ctx, m.p.Lock(id))
		delete(m.mutex, id)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		m.Fatal(err)
	}
	m.decide("sweep after a pause", 0, func() string {
		swept := must(m.hand.log.Sweep(ctx, m.p, hour, hour))(m)
		return fmt.Sprint(swept.Spared, " spared, overdue ", swept.Overdue)
	}, fmt.Sprint(running, " spared, overdue []"))
	m.spared += running
	m.answer = "0 spared, overdue []" // asked again, it was not away
	for _, id := range modelTasks {
		if task := m.tasks[id]; task.State == events.StateActive {
			m.decide("abandon "+id+" which was spared", 0, func() string {
				_, err := m.hand.log.Abandon(ctx, id, task.Attempt, task.Worker, time.Second, nil)
				return outcome(err)
			}, "fenced")
		}
	}
}
