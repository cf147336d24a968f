package eventlog_test

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// fold returns every task that a log tells of. The test ends if the log holds an illegal event.
func (h *hand) fold(log []events.Event) map[string]events.Task {
	h.Helper()
	tasks := map[string]events.Task{}
	for _, e := range log {
		if e.Task == "" {
			continue
		}
		next, err := tasks[e.Task].Anew(e).Evolve(e)
		if err != nil {
			h.Fatal(err)
		}
		tasks[e.Task] = next
	}
	return tasks
}

// agree holds rows (of these tasks, or of all) and ledgers against the log. All that the decisions
// know must follow from it.
func (h *hand) agree(log []events.Event, ids ...string) map[string]events.Task {
	h.Helper()
	tasks := h.fold(log)
	queues := map[string]bool{"q": true}
	for _, t := range tasks {
		queues[t.Queue] = true
	}
	if len(ids) == 0 {
		ids = slices.Collect(maps.Keys(tasks))
	}
	for _, id := range ids {
		row, err := h.log.Task(h.Context(), id)
		if err != nil {
			h.Errorf("%v", err)
			continue
		}
		if !reflect.DeepEqual(row, tasks[id]) {
			h.Errorf("task %s\nits row says   %+v\nits events say %+v", id, row, tasks[id])
		}
	}
	s := h.ledgers(slices.Sorted(maps.Keys(queues)))
	for _, t := range tasks {
		s.check(h, t)
	}
	s.leftOver(h)
	return tasks
}

// ledgers is what stands in them. check takes out what belongs there.
type ledgers struct {
	now      int64
	delayed  map[string]float64
	leases   map[string]float64
	waiting  map[string]map[string]float64 // queue → task → score
	dispatch map[string]map[string]int     // queue → task → entries
	ready    map[string]bool
}

// ledgers reads all of them at one moment.
func (h *hand) ledgers(queues []string) ledgers {
	h.Helper()
	ctx := h.Context()
	pipe := h.rdb.Pipeline()
	now, ready := pipe.Time(ctx), pipe.SMembersMap(ctx, h.p.Ready)
	delayed, leases := pipe.ZRangeWithScores(ctx, h.p.Delayed, 0, -1), pipe.ZRangeWithScores(ctx, h.p.Leases, 0, -1)
	waiting, dispatch := make([]*redis.ZSliceCmd, len(queues)), make([]*redis.XMessageSliceCmd, len(queues))
	for i, q := range queues {
		waiting[i] = pipe.ZRangeWithScores(ctx, h.p.Waiting(q), 0, -1)
		dispatch[i] = pipe.XRange(ctx, h.p.Due(q), "-", "+")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		h.Fatal(err)
	}
	s := ledgers{
		now: now.Val().UnixMilli(), delayed: scores(delayed.Val()), leases: scores(leases.Val()),
		waiting: map[string]map[string]float64{}, dispatch: map[string]map[string]int{}, ready: map[string]bool{},
	}
	for q := range ready.Val() {
		s.ready[q] = true
	}
	for i, q := range queues {
		s.waiting[q], s.dispatch[q] = scores(waiting[i].Val()), map[string]int{}
		for _, m := range dispatch[i].Val() {
			task, _ := m.Values["task"].(string)
			s.dispatch[q][task]++
		}
	}
	return s
}

// scores returns the members of a zset; of a member of waiting:<queue> it takes the task.
func scores(zs []redis.Z) map[string]float64 {
	m := map[string]float64{}
	for _, z := range zs {
		member, _ := z.Member.(string)
		m[member[strings.LastIndexByte(member, ':')+1:]] = z.Score
	}
	return m
}

// check fails the test unless a task stands exactly where its state says.
func (s *ledgers) check(h *hand, t events.Task) {
	h.Helper()
	place, isWaiting := s.waiting[t.Queue][t.ID]
	dueAt, isDelayed := s.delayed[t.ID]
	_, isLeased := s.leases[t.ID]
	entries := s.dispatch[t.Queue][t.ID]
	var ok bool
	switch t.State {
	case events.StateDelayed, events.StateRetrying:
		// The promoter moves it from one to the other, not before its time.
		ok = isWaiting != isDelayed && (!isDelayed || dueAt == float64(t.DueAt)) && (!isWaiting || t.DueAt <= s.now)
	case events.StateWaiting:
		ok = isWaiting && !isDelayed
	default:
		ok = !isWaiting && !isDelayed
	}
	ok = ok && (!isWaiting || place == float64(t.Priority) && s.ready[t.Queue])
	ok = ok && isLeased == (t.State == events.StateActive)
	if wanted := t.State == events.StateDue; h.stale[t.ID] {
		ok = ok && (entries > 0 || !wanted)
	} else {
		ok = ok && (entries > 0) == wanted && entries < 2
	}
	if !ok {
		h.Errorf("task %s is %s, due at %d, priority %d, and stands in %+v", t.ID, t.State, t.DueAt, t.Priority, *s)
	}
	delete(s.waiting[t.Queue], t.ID)
	delete(s.delayed, t.ID)
	delete(s.leases, t.ID)
	delete(s.dispatch[t.Queue], t.ID)
}

// leftOver fails the test if a ledger names a task that the log does not know.
func (s *ledgers) leftOver(h *hand) {
	h.Helper()
	n := len(s.delayed) + len(s.leases)
	for _, m := range s.waiting {
		n += len(m)
	}
	for _, m := range s.dispatch {
		n += len(m)
	}
	if n > 0 {
		h.Errorf("the log knows nothing of these: %+v", *s)
	}
}

// holds reports whether an attempt runs its task, as the log says.
func holds(t events.Task, a eventlog.Attempt) bool {
	return t.State == events.StateActive && t.Attempt == a.Number && t.Token == a.Token
}
