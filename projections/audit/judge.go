package audit

import (
	"math"
	"slices"

	"github.com/tasklog/tasklog/events"
)

// task judges an event about a task, and takes the task to where it says.
func (a *Audit) task(e events.Event) {
	t, before := a.find(e)
	known := a.report.ViolationCount
	if _, requested := e.Data.(events.TaskRequested); requested && before.Final() {
		a.report.States[before]-- // its first life is no task any more
		t, before = a.anew(t, e), events.StateNone
	}
	if before != events.StateNone {
		if _, again := e.Data.(events.TaskRequested); again {
			a.check(OneRequest, e, false, "it was requested before, and is %s", before)
			t.entry(e.ID)
			a.settle(t)
			return
		}
		a.common(t, e)
	}
	if t.believed {
		t.learn(e)
	}
	if !before.Final() {
		a.body(t, e)
	}
	if retry, ok := e.Data.(events.TaskRetryRequested); ok {
		a.check(RetryID, e, retry.RequestID == "" || hash(seed, retry.RequestID) != t.retry, "request %q was granted before", retry.RequestID)
	}
	next, err := t.Evolve(e)
	if known == a.report.ViolationCount {
		a.check(Legal, e, err == nil || t.believed && before == events.StateNone, "%v", err)
	}
	if err != nil {
		next = forced(t.Task, e)
	}
	if _, due := e.Data.(events.TaskDue); due {
		a.overtakes(t, e)
	}
	a.evolve(t, next, e)
	if t.State == events.StateWaiting {
		a.stand(t)
	}
	if before != events.StateNone {
		a.report.States[before]--
	}
	a.report.States[t.State]++
	a.settle(t)
}

// find returns the task of an event, and its state before. A new one has only its id.
func (a *Audit) find(e events.Event) (*task, events.State) {
	if t := a.live[e.Task]; t != nil {
		return t, t.State
	}
	if len(a.ended) > 0 {
		if over, ok := a.ended[hash(seed, e.Task)]; ok {
			t := a.reopen(e.Task, over)
			return t, t.State
		}
	}
	t := a.born(e)
	queue := e.Data.About().Queue
	if _, known := a.queues[queue]; !known {
		a.queues[queue] = Queue{Told: !a.cfg.Trimmed}
	}
	if a.cfg.Home != nil {
		a.check(Home, e, a.cfg.Home(e.Task), "it belongs in another partition")
	}
	if d, ok := e.Data.(events.TaskRequested); ok {
		a.counts[OneRequest]++
		a.begin(t, e, d)
		return t, events.StateNone
	}
	t.believed = true
	t.ID, t.Label, t.MaxAttempts = e.Task, e.Data.About(), math.MaxInt
	a.report.Believed++
	if !a.cfg.Trimmed {
		a.check(OneRequest, e, false, "nobody requested it")
	}
	return t, events.StateNone
}

// born returns a task that has nothing yet.
func (a *Audit) born(e events.Event) *task {
	t := &task{history: seed, holder: holder("", ""), retry: hash(seed, ""), seen: a.marking}
	a.live[e.Task] = t
	return t
}

// begin judges the request of a task.
func (a *Audit) begin(t *task, e events.Event, d events.TaskRequested) {
	a.requested(e, d)
	t.requested, t.definition = e.ID, definition(d.Label, d.Definition)
}

// anew returns the task that e requests with the id of one that is over: its row must be gone by then.
func (a *Audit) anew(over *task, e events.Event) *task {
	since := e.ID.Ms - over.last().Ms
	gone := since >= a.cfg.Retention.Milliseconds() || a.cfg.Retired != nil && a.cfg.Retired(over.Queue, over.last())
	a.check(OneRequest, e, gone,
		"it was requested before, was %s, and its row is kept for %s: that was %d ms ago", over.State, a.cfg.Retention, since)
	t := a.born(e)
	t.again = true
	a.begin(t, e, e.Data.(events.TaskRequested))
	return t
}

// learn takes the number of a believed task's attempt from the first event that names one.
func (t *task) learn(e events.Event) {
	if t.numbered {
		return
	}
	switch d := e.Data.(type) {
	case events.TaskDue:
		t.Attempt, t.numbered = d.Attempt-1, true
	case events.TaskStarted:
		t.Attempt, t.numbered = d.Attempt-1, true
	case events.TaskCompleted:
		t.Attempt, t.numbered = d.Attempt, true
	case events.TaskFailed:
		t.Attempt, t.numbered = d.Attempt, true
	case events.TaskReleased:
		if t.Attempt, t.numbered = d.Attempt, true; d.From == events.StateDue {
			t.Attempt--
		}
	default:
	}
}

// settle keeps less of a task that is over.
func (a *Audit) settle(t *task) {
	if t.State.Final() {
		a.shelve(t)
	}
}

// entry remembers the id of one more event.
func (t *task) entry(id events.ID) {
	t.history = chain(t.history, id)
	t.Events = []events.ID{id}
}

// evolve takes t to next, which e led to.
func (a *Audit) evolve(t *task, next events.Task, e events.Event) {
	held := next.Token != t.Token || next.Worker != t.Worker
	t.Task = next
	t.Payload, t.Traceparent, t.RequestID = nil, "", ""
	t.entry(e.ID)
	if held {
		t.holder = holder(next.Token, next.Worker)
	}
	switch d := e.Data.(type) {
	case events.TaskDue:
		t.dueSeen = e.ID.Ms
	case events.TaskStarted:
		t.token = d.Token
	case events.TaskRetryRequested:
		t.retry = hash(seed, d.RequestID)
	default:
	}
}

// forced returns the task as e says that it is, whatever it was.
func forced(t events.Task, e events.Event) events.Task {
	t.ID, t.Events = e.Task, nil
	switch d := e.Data.(type) {
	case events.TaskDue:
		t.Attempt, t.DueAt = d.Attempt-1, d.DueAt
	case events.TaskStarted:
		t.Attempt, t.Token, t.Worker = d.Attempt, d.Token, d.Worker
	case events.TaskCompleted:
		t.Attempt, t.Worker = d.Attempt, d.Worker
	case events.TaskFailed:
		if t.Attempt, t.Worker = d.Attempt, d.Worker; d.RetryAt > 0 {
			t.DueAt = d.RetryAt
		}
	case events.TaskReleased:
		if t.Attempt = d.Attempt; d.From == events.StateActive {
			t.Uncounted++
		} else {
			t.Attempt--
		}
		t.DueAt = max(d.RetryAt, e.ID.Ms)
	case events.TaskRetryRequested:
		t.Uncounted, t.DueAt = t.Attempt, e.ID.Ms
	default:
	}
	t.Uncounted = min(t.Uncounted, t.Attempt)
	t.State = events.Next(e.Data)
	return t
}

// common judges what is so of every event but the first one of a task.
func (a *Audit) common(t *task, e events.Event) {
	about := e.Data.About()
	a.check(Same, e, about == t.Label, "it says queue %q, name %q, and the task has %q, %q", about.Queue, about.Name, t.Queue, t.Name)
	next := events.Next(e.Data)
	if _, retry := e.Data.(events.TaskRetryRequested); !retry && t.State.Final() {
		switch {
		case next.Final():
			a.check(OneEnd, e, false, "%s, and it was %s", e.Data.Type(), t.State)
		case next == events.StateActive && t.State == events.StateCancelled:
			a.check(Cancelled, e, false, "it starts, and was cancelled")
		default:
			a.check(Final, e, false, "%s, and it was %s", e.Data.Type(), t.State)
		}
		return
	}
	switch e.Data.(type) {
	case events.TaskDue, events.TaskReleased, events.TaskCancelled, events.TaskRetryRequested:
		from := events.From(e.Data)
		a.check(From, e, from == t.State, "it leaves %s, and the task is %s", from, t.State)
	default:
	}
	if next.Final() {
		a.counts[OneEnd]++
		a.counts[Final]++
	}
	if next == events.StateCancelled {
		a.counts[Cancelled]++
	}
}

// body judges what an event says, against a task that is not over.
func (a *Audit) body(t *task, e events.Event) {
	first := t.State == events.StateNone // it is believed, or is the request
	switch d := e.Data.(type) {
	case events.TaskDue:
		a.due(t, e, d, first)
	case events.TaskStarted:
		a.started(t, e, d, first)
	case events.TaskCompleted:
		a.closer(t, e, d.Attempt, d.Worker, first)
		a.check(Limits, e, len(d.Result) <= events.DefaultMaxPayload && events.Depth(d.Result) <= events.MaxDepth,
			"a result of %d bytes, %d deep", len(d.Result), events.Depth(d.Result))
		a.check(Limits, e, d.RunMs >= 0, "it ran for %d ms", d.RunMs)
	case events.TaskFailed:
		a.report.Reasons[d.Reason]++
		worker := d.Worker
		if d.Reason == events.ReasonAbandoned && worker == "" {
			worker = t.Worker // the sweeper speaks for a worker that is silent
		}
		a.closer(t, e, d.Attempt, worker, first)
		a.failed(t, e, d)
	case events.TaskReleased:
		a.report.Reasons[d.Reason]++
		a.check(Known, e, slices.Contains(reasons[5:], d.Reason), "reason %q", d.Reason)
		a.wait(e, d.RetryAt)
		if d.From == events.StateActive {
			a.closer(t, e, d.Attempt, d.Worker, first)
		} else if !first {
			a.check(Attempts, e, d.Attempt == t.Attempt+1, "attempt %d, and %d is due", d.Attempt, t.Attempt+1)
		}
	case events.TaskRequested, events.TaskCancelled, events.TaskRetryRequested, events.QueuePaused, events.QueueResumed:
	}
}

// closer judges an event that ends an attempt.
func (a *Audit) closer(t *task, e events.Event, attempt int, worker string, first bool) {
	if first {
		return
	}
	if a.check(Closer, e, t.State == events.StateActive, "attempt %d ends, and the task is %s", attempt, t.State) {
		a.check(Closer, e, attempt == t.Attempt, "attempt %d ends, and %d runs", attempt, t.Attempt)
		a.check(Worker, e, worker == t.Worker, "worker %q ends it, and %q runs it", worker, t.Worker)
	}
}
