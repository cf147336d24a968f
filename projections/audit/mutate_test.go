package audit_test

import (
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/audit"
)

// mutation damages a log in one place.
type mutation struct {
	name string
	// at reports whether the event at a place can be damaged in this way. before is its task before it.
	at func(l log, i int) bool
	// do returns the damaged log.
	do func(l log, i int) []events.Event
	// breaks are the invariants of which one must be found broken.
	breaks []audit.Invariant
}

// log is a legal log, and for each event the task before it.
type log struct {
	events []events.Event
	before []events.Task
}

func newLog(list []events.Event) log {
	l := log{events: list}
	tasks := map[string]events.Task{}
	for _, e := range list {
		t := tasks[e.Task]
		l.before = append(l.before, t)
		if e.Task == "" {
			continue
		}
		next, err := t.Evolve(e)
		if err != nil {
			panic(err) // the simulation is legal
		}
		tasks[e.Task] = next
	}
	return l
}

// places are those in which a log can be damaged in this way.
func (m mutation) places(l log) (list []int) {
	for i := range l.events {
		if m.at(l, i) {
			list = append(list, i)
		}
	}
	return list
}

// next returns the place of the next event of the same task, or -1.
func (l log) next(i int) int {
	for n := i + 1; n < len(l.events); n++ {
		if l.events[n].Task == l.events[i].Task {
			return n
		}
	}
	return -1
}

// drop removes an event.
func drop(l log, i int) []events.Event { return slices.Delete(slices.Clone(l.events), i, i+1) }

// double writes an event twice: the second time right behind the first.
func double(l log, i int) []events.Event {
	again := l.events[i]
	again.ID.Seq += 1 << 40
	return slices.Insert(slices.Clone(l.events), i+1, again)
}

// put writes another body in the place of the first one.
func put(l log, i int, d events.Data) []events.Event {
	list := slices.Clone(l.events)
	list[i].Data = d
	return list
}

// follow writes another event of the same task behind one.
func follow(l log, i int, d events.Data) []events.Event {
	e := l.events[i]
	e.ID.Seq += 1 << 40
	e.Data = d
	return slices.Insert(slices.Clone(l.events), i+1, e)
}

// is returns an at for bodies of one kind that fulfil a condition.
func is[D events.Data](f func(l log, i int, d D) bool) func(l log, i int) bool {
	return func(l log, i int) bool {
		d, ok := l.events[i].Data.(D)
		return ok && (f == nil || f(l, i, d))
	}
}

// change returns a do that changes a body.
func change[D events.Data](f func(l log, i int, d *D)) func(l log, i int) []events.Event {
	return func(l log, i int) []events.Event {
		d := l.events[i].Data.(D)
		f(l, i, &d)
		return put(l, i, d)
	}
}

// noticed reports that something follows by which a missing event is noticed.
func noticed[D events.Data](l log, i int, _ D) bool { return l.next(i) >= 0 }

var mutations = []mutation{
	{"a request is lost", is(noticed[events.TaskRequested]), drop, []audit.Invariant{audit.OneRequest}},
	{"a due is lost", is(noticed[events.TaskDue]), drop, []audit.Invariant{audit.Legal, audit.From}},
	{"a start is lost", is(noticed[events.TaskStarted]), drop, []audit.Invariant{audit.Closer, audit.From}},
	{"a completion is lost", is[events.TaskCompleted](nil), drop, []audit.Invariant{audit.Settled}},
	{"a failure is lost", is(noticed[events.TaskFailed]), drop, []audit.Invariant{audit.From}},
	{"a release is lost", is(noticed[events.TaskReleased]), drop, []audit.Invariant{audit.From, audit.Legal}},
	{"a cancel is lost", is(noticed[events.TaskCancelled]), drop, []audit.Invariant{audit.From}},
	{"a requested retry is lost", is(noticed[events.TaskRetryRequested]), drop, []audit.Invariant{audit.Final, audit.OneEnd}},
	{"a pause is lost", is(func(l log, i int, d events.QueuePaused) bool { return resumed(l, i, d.Queue) }), drop, []audit.Invariant{audit.Paused}},
	{"a resume is lost", is(func(l log, i int, d events.QueueResumed) bool { return dueAfter(l, i, d.Queue) }), drop, []audit.Invariant{audit.Paused}},

	{"a request is doubled", is[events.TaskRequested](nil), double, []audit.Invariant{audit.OneRequest}},
	{"a due is doubled", is[events.TaskDue](nil), double, []audit.Invariant{audit.From}},
	{"a start is doubled", is[events.TaskStarted](nil), double, []audit.Invariant{audit.OneStart}},
	{"a completion is doubled", is[events.TaskCompleted](nil), double, []audit.Invariant{audit.OneEnd}},
	{"a failure is doubled", is[events.TaskFailed](nil), double, []audit.Invariant{audit.Closer, audit.OneEnd, audit.Final}},
	{"a release is doubled", is[events.TaskReleased](nil), double, []audit.Invariant{audit.From}},
	{"a cancel is doubled", is[events.TaskCancelled](nil), double, []audit.Invariant{audit.OneEnd}},
	{"a requested retry is doubled", is[events.TaskRetryRequested](nil), double, []audit.Invariant{audit.From, audit.RetryID}},
	{"a pause is doubled", is[events.QueuePaused](nil), double, []audit.Invariant{audit.Paused}},
	{"a resume is doubled", is[events.QueueResumed](nil), double, []audit.Invariant{audit.Paused}},

	{"two events of a task are swapped", func(l log, i int) bool { return l.events[i].Task != "" && l.next(i) >= 0 }, func(l log, i int) []events.Event {
		list, n := slices.Clone(l.events), l.next(i)
		list[i].Data, list[n].Data = list[n].Data, list[i].Data
		return list
	}, nil},
	{"an id goes back", func(_ log, i int) bool { return i > 0 }, func(l log, i int) []events.Event {
		list := slices.Clone(l.events)
		list[i-1].ID, list[i].ID = list[i].ID, list[i-1].ID
		return list
	}, []audit.Invariant{audit.Order}},
	{"an id is used twice", func(_ log, i int) bool { return i > 0 }, func(l log, i int) []events.Event {
		list := slices.Clone(l.events)
		list[i].ID = list[i-1].ID
		return list
	}, []audit.Invariant{audit.Order}},

	{"a due is early", is(func(l log, i int, d events.TaskDue) bool { return l.before[i].DueAt > l.events[i-1].ID.Ms }), func(l log, i int) []events.Event {
		list := slices.Clone(l.events)
		list[i].ID.Ms = l.before[i].DueAt - 1
		return list
	}, []audit.Invariant{audit.Early}},
	{
		"a request is due before its delay is over", is(func(l log, i int, d events.TaskRequested) bool { return d.DelayMs > 0 && l.events[i].ID.Seq == 0 }),
		change(func(_ log, _ int, d *events.TaskRequested) { d.DueAt -= 60_000 }),
		[]audit.Invariant{audit.Early},
	},
	{
		"a request is due later than its delay", is[events.TaskRequested](nil),
		change(func(_ log, _ int, d *events.TaskRequested) { d.DueAt++ }),
		[]audit.Invariant{audit.Early},
	},

	{"another worker completes", is[events.TaskCompleted](nil), change(func(_ log, _ int, d *events.TaskCompleted) { d.Worker = "thief" }), []audit.Invariant{audit.Worker}},
	{"another worker fails", is[events.TaskFailed](nil), change(func(_ log, _ int, d *events.TaskFailed) { d.Worker = "thief" }), []audit.Invariant{audit.Worker}},
	{
		"another worker releases", is(func(_ log, _ int, d events.TaskReleased) bool { return d.From == events.StateActive }),
		change(func(_ log, _ int, d *events.TaskReleased) { d.Worker = "thief" }),
		[]audit.Invariant{audit.Worker},
	},
	{"a start has no token", is[events.TaskStarted](nil), change(func(_ log, _ int, d *events.TaskStarted) { d.Token = "" }), []audit.Invariant{audit.Token}},
	{"a start has the token of the attempt before", is(func(l log, i int, _ events.TaskStarted) bool {
		return l.before[i].Attempt > 0 && lastToken(l, i) != ""
	}), func(l log, i int) []events.Event {
		d := l.events[i].Data.(events.TaskStarted)
		d.Token = lastToken(l, i)
		return put(l, i, d)
	}, []audit.Invariant{audit.Token}},

	{"an attempt is skipped", is[events.TaskStarted](nil), change(func(_ log, _ int, d *events.TaskStarted) { d.Attempt++ }), []audit.Invariant{audit.Attempts}},
	{"a due skips an attempt", is[events.TaskDue](nil), change(func(_ log, _ int, d *events.TaskDue) { d.Attempt++ }), []audit.Invariant{audit.Attempts}},
	{
		"an old attempt starts again", is(func(_ log, _ int, d events.TaskStarted) bool { return d.Attempt > 1 }),
		change(func(_ log, _ int, d *events.TaskStarted) { d.Attempt-- }),
		[]audit.Invariant{audit.OneStart},
	},
	{"an old attempt completes", is[events.TaskCompleted](nil), change(func(_ log, _ int, d *events.TaskCompleted) { d.Attempt-- }), []audit.Invariant{audit.Closer}},
	{"an attempt starts beside a running one", is[events.TaskStarted](nil), func(l log, i int) []events.Event {
		d := l.events[i].Data.(events.TaskStarted)
		d.Attempt, d.Token = d.Attempt+1, "another"
		return follow(l, i, d)
	}, []audit.Invariant{audit.Closer}},
	{"a completed task fails, too", is[events.TaskCompleted](nil), func(l log, i int) []events.Event {
		d := l.events[i].Data.(events.TaskCompleted)
		return follow(l, i, events.TaskFailed{Label: d.Label, Attempt: d.Attempt, Worker: d.Worker, Reason: events.ReasonRejected})
	}, []audit.Invariant{audit.OneEnd}},
	{"a cancelled task starts", is[events.TaskCancelled](nil), func(l log, i int) []events.Event {
		return follow(l, i, events.TaskStarted{Label: l.events[i].Data.About(), Attempt: l.before[i].Attempt + 1, Worker: "w", Token: "t"})
	}, []audit.Invariant{audit.Cancelled}},
	{"a failed task becomes due", is(func(_ log, _ int, d events.TaskFailed) bool { return d.RetryAt == 0 }), func(l log, i int) []events.Event {
		return follow(l, i, events.TaskDue{Label: l.events[i].Data.About(), Attempt: l.before[i].Attempt + 1, From: events.StateFailed})
	}, []audit.Invariant{audit.Final}},
	{"a completed task is retried", is[events.TaskCompleted](nil), func(l log, i int) []events.Event {
		return follow(l, i, events.TaskRetryRequested{Label: l.events[i].Data.About(), RequestID: "r", From: events.StateCompleted})
	}, []audit.Invariant{audit.Legal}},

	{"a due leaves another state", is[events.TaskDue](nil), change(func(_ log, _ int, d *events.TaskDue) { d.From = other(d.From) }), []audit.Invariant{audit.From}},
	{"a cancel leaves another state", is[events.TaskCancelled](nil), change(func(_ log, _ int, d *events.TaskCancelled) { d.From = other(d.From) }), []audit.Invariant{audit.From}},
	{"a due is of another queue", is[events.TaskDue](nil), change(func(_ log, _ int, d *events.TaskDue) { d.Queue = "elsewhere" }), []audit.Invariant{audit.Same}},
	{"a completion has another name", is[events.TaskCompleted](nil), change(func(_ log, _ int, d *events.TaskCompleted) { d.Name = "other" }), []audit.Invariant{audit.Same}},
	{"a due has another priority", is[events.TaskDue](nil), change(func(_ log, _ int, d *events.TaskDue) { d.Priority += 7 }), []audit.Invariant{audit.Same}},

	{"an abandoned attempt is tried again too late", is(abandoned), change(func(_ log, _ int, d *events.TaskFailed) { d.RetryAt += 10_000 }), []audit.Invariant{audit.Backoff}},
	{"an abandoned attempt is tried again too early", is(func(l log, i int, d events.TaskFailed) bool {
		return abandoned(l, i, d) && l.events[i].ID.Seq == 0
	}), change(func(_ log, _ int, d *events.TaskFailed) { d.RetryAt -= 10_000 }), []audit.Invariant{audit.Backoff}},
	{"a retry beyond maxAttempts", is(func(l log, i int, d events.TaskFailed) bool {
		return d.RetryAt == 0 && d.Reason != events.ReasonRejected
	}), change(func(l log, i int, d *events.TaskFailed) { d.RetryAt = l.events[i].ID.Ms }), []audit.Invariant{audit.MaxAttempts}},
	{
		"attempts are given up", is(func(_ log, _ int, d events.TaskFailed) bool { return d.RetryAt > 0 }),
		change(func(_ log, _ int, d *events.TaskFailed) { d.RetryAt = 0 }),
		[]audit.Invariant{audit.MaxAttempts},
	},
	{"what was rejected is tried again", is(func(l log, i int, d events.TaskFailed) bool {
		return d.Reason == events.ReasonRejected && l.before[i].Attempts() < l.before[i].MaxAttempts
	}), change(func(l log, i int, d *events.TaskFailed) { d.RetryAt = l.events[i].ID.Ms + 1000 }), []audit.Invariant{audit.MaxAttempts}},

	{"an unknown reason", is[events.TaskFailed](nil), change(func(_ log, _ int, d *events.TaskFailed) { d.Reason = "bad luck" }), []audit.Invariant{audit.Known}},
	{"a payload that is too large", is[events.TaskRequested](nil), change(func(_ log, _ int, d *events.TaskRequested) {
		d.Payload = slices.Concat([]byte(`"`), make([]byte, events.DefaultMaxPayload), []byte(`"`))
	}), []audit.Invariant{audit.Limits}},
	{"a priority that is too large", is[events.TaskRequested](nil), change(func(_ log, _ int, d *events.TaskRequested) { d.Priority = events.MaxPriority + 1 }), []audit.Invariant{audit.Limits}},
	{"a task of another partition", is[events.TaskRequested](nil), func(l log, i int) []events.Event {
		list := slices.Clone(l.events)
		list[i].Task = foreign
		return list
	}, []audit.Invariant{audit.Home}},
}

// foreign is a task that belongs in another partition.
const foreign = "foreign"

func abandoned(_ log, _ int, d events.TaskFailed) bool {
	return d.Reason == events.ReasonAbandoned && d.RetryAt > 0
}

func other(s events.State) events.State {
	if s == events.StateWaiting {
		return events.StateDelayed
	}
	return events.StateWaiting
}

// lastToken is that of the newest start of the same task before a place, since its last end.
func lastToken(l log, i int) string {
	for n := i - 1; n >= 0; n-- {
		if l.events[n].Task != l.events[i].Task {
			continue
		}
		if events.Next(l.events[n].Data).Final() {
			return ""
		}
		if d, ok := l.events[n].Data.(events.TaskStarted); ok {
			return d.Token
		}
	}
	return ""
}

// resumed reports that a queue is resumed after a place.
func resumed(l log, i int, queue string) bool {
	return slices.ContainsFunc(l.events[i+1:], func(e events.Event) bool {
		_, ok := e.Data.(events.QueueResumed)
		return ok && e.Data.About().Queue == queue
	})
}

// dueAfter reports that something of a queue becomes due after a place, before the queue is paused again or
// that it is paused again.
func dueAfter(l log, i int, queue string) bool {
	return slices.ContainsFunc(l.events[i+1:], func(e events.Event) bool {
		switch e.Data.(type) {
		case events.TaskDue, events.QueuePaused:
			return e.Data.About().Queue == queue
		default:
			return false
		}
	})
}
