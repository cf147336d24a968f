package audit

import (
	"iter"
	"maps"

	"github.com/tasklog/tasklog/events"
)

// task is one that is under way.
type task struct {
	events.Task           // without its payload; Events has the newest id only
	token       string    // of the attempt that started last
	requested   events.ID // entry of TaskRequested
	dueSeen     int64     // ms of the newest TaskDue; 0: none
	history     uint64
	definition  uint64
	holder      uint64
	retry       uint64
	believed    bool
	again       bool // it has had a life before
	numbered    bool // Attempt of a believed task is known
	seen        bool // by whoever compares
}

func (t *task) summary() Summary {
	return Summary{
		State: t.State, Queue: t.Queue, Priority: t.Priority, Attempt: t.Attempt, Uncounted: t.Uncounted, DueAt: t.DueAt,
		Requested: t.requested, Last: t.last(), History: t.history, Definition: t.definition, Holder: t.holder,
		Retry: t.retry, Believed: t.believed, Again: t.again,
	}
}

// last is the entry of the newest event.
func (t *task) last() events.ID {
	if n := len(t.Events); n > 0 {
		return t.Events[n-1]
	}
	return events.ID{}
}

// ended is a task that is over.
type ended struct {
	last       events.ID
	dueAt      int64
	history    uint64
	definition uint64
	holder     uint64
	retry      uint64
	attempt    int32
	uncounted  int32
	kind       uint32
	state      uint8 // index in events.States
	believed   bool
	again      bool
	seen       bool
}

// kind is what many tasks have in common, and a retried one must keep to.
type kind struct {
	events.Label
	priority    int
	maxAttempts int
	backoff     events.Backoff // without its jitter
	jitter      float64        // -1: the default
}

func kindOf(t *task) kind {
	k := kind{Label: t.Label}
	if t.State == events.StateCompleted {
		return k // it is never tried again
	}
	k.priority, k.maxAttempts, k.backoff, k.jitter = t.Priority, t.MaxAttempts, t.Backoff, -1
	if t.Backoff.Jitter != nil {
		k.jitter = *t.Backoff.Jitter
	}
	k.backoff.Jitter = nil
	return k
}

// shelve keeps of a task that is over what is still needed.
func (a *Audit) shelve(t *task) {
	k := kindOf(t)
	n, ok := a.kindOf[k]
	if !ok {
		n = uint32(len(a.kinds))
		a.kinds, a.kindOf[k] = append(a.kinds, k), n
	}
	h := hash(seed, t.ID)
	if t.State != events.StateCompleted {
		a.placed[h] = t.requested // it keeps its place when it is retried
	}
	a.ended[h] = ended{
		last: t.last(), dueAt: t.DueAt, history: t.history, definition: t.definition, holder: t.holder, retry: t.retry,
		attempt: int32(t.Attempt), uncounted: int32(t.Uncounted), kind: n, state: index(t.State), believed: t.believed, again: t.again, seen: t.seen,
	}
	delete(a.live, t.ID)
}

// reopen makes a task that was over one under way again: its event is about to be judged.
func (a *Audit) reopen(id string, e ended) *task {
	h := hash(seed, id)
	k := a.kinds[e.kind]
	t := &task{
		requested: a.placed[h], history: e.history, definition: e.definition, holder: e.holder, retry: e.retry, believed: e.believed, again: e.again, seen: e.seen,
	}
	delete(a.ended, h)
	delete(a.placed, h)
	t.ID, t.State, t.Label, t.DueAt, t.Events = id, events.States[e.state], k.Label, e.dueAt, []events.ID{e.last}
	t.Attempt, t.Uncounted = int(e.attempt), int(e.uncounted)
	t.Priority, t.MaxAttempts, t.Backoff = k.priority, k.maxAttempts, k.backoff
	t.numbered = t.Attempt > 0
	if k.jitter >= 0 {
		t.Backoff.Jitter = &k.jitter
	}
	a.live[id] = t
	return t
}

func (a *Audit) endedSummary(e ended) Summary {
	k := a.kinds[e.kind]
	return Summary{
		State: events.States[e.state], Queue: k.Queue, Attempt: int(e.attempt),
		Uncounted: int(e.uncounted), DueAt: e.dueAt, Last: e.last, History: e.history, Definition: e.definition,
		Holder: e.holder, Retry: e.retry, Believed: e.believed, Again: e.again,
	}
}

// index is the place of a state in events.States.
func index(s events.State) uint8 {
	for i, have := range events.States {
		if have == s {
			return uint8(i)
		}
	}
	return 0
}

// Task returns where a task stands. Only what the events read so far tell counts.
func (a *Audit) Task(id string) (Summary, bool) {
	if t := a.live[id]; t != nil {
		return t.summary(), true
	}
	if e, ok := a.ended[hash(seed, id)]; ok {
		return a.endedSummary(e), true
	}
	return Summary{}, false
}

// Unmark takes every mark away. Tasks that are new from now on are born with one.
func (a *Audit) Unmark() {
	a.marking = true
	for _, t := range a.live {
		t.seen = false
	}
	for h, e := range a.ended {
		if e.seen {
			e.seen = false
			a.ended[h] = e
		}
	}
}

// Mark remembers that a task was seen, for Unseen.
func (a *Audit) Mark(id string) {
	if t := a.live[id]; t != nil {
		t.seen = true
		return
	}
	if e, ok := a.ended[hash(seed, id)]; ok && !e.seen {
		e.seen = true
		a.ended[hash(seed, id)] = e
	}
}

// Unseen yields the tasks that were not marked; of one that is over the id is not known, and empty.
func (a *Audit) Unseen() iter.Seq2[string, Summary] {
	return func(yield func(string, Summary) bool) {
		for id, t := range a.live {
			if !t.seen && !yield(id, t.summary()) {
				return
			}
		}
		for _, e := range a.ended {
			if !e.seen && !yield("", a.endedSummary(e)) {
				return
			}
		}
	}
}

// Live yields the tasks that are under way, in no order.
func (a *Audit) Live() iter.Seq2[string, Summary] {
	return func(yield func(string, Summary) bool) {
		for id, t := range a.live {
			if !yield(id, t.summary()) {
				return
			}
		}
	}
}

// Queue is what the events tell of a queue.
type Queue struct {
	Paused bool
	Told   bool // the events tell whether it is paused; of a trimmed log they may not
}

// Queues yields every queue that the events name.
func (a *Audit) Queues() iter.Seq2[string, Queue] { return maps.All(a.queues) }
