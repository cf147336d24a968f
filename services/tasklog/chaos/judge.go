package main

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
)

// verdict is what the three records tell together. What must not be is listed in wrong, with its task.
type verdict struct {
	tasks, accepted, refused, unknown, recovered, left int

	lost       int // accepted, and not in the log; or acknowledged, and without its event
	unfinished int // in the log, and not final
	twice      int // completed twice in the log
	strangers  int // in the log, and refused or never asked for
	illegal    int // tasks whose events break a rule

	runs        int
	again       int            // runs beyond the first of a task
	because     map[string]int // why there was another one
	unexplained int            // for no reason that the log knows
	late        int            // began after their attempt had ended: their worker stood still
	robbed      int            // were abandoned while their worker was well

	wrong  []string
	excuse func(worker string, by time.Time) bool // whether a worker may have lost a lease by then
}

// judge holds against each other what the clients were told, what the handlers were asked, and the log.
func judge(clients []asked, sink []handled, told *history, excuse func(worker string, by time.Time) bool) verdict {
	v := verdict{because: map[string]int{}, tasks: len(told.tasks), excuse: excuse}
	known := map[string]bool{}
	for _, a := range clients {
		known[a.ID] = !a.Refused
		v.client(a, told.tasks[a.ID])
	}
	for id, l := range told.tasks {
		if !known[id] {
			v.add(&v.strangers, id, "it is in the log, and nobody was told so")
		}
		v.log(id, l)
	}
	runs := map[string][]handled{}
	for _, r := range sink {
		runs[r.Task] = append(runs[r.Task], r)
	}
	for id, l := range told.tasks {
		v.handlers(id, l, runs[id])
		delete(runs, id)
	}
	for id, list := range runs {
		v.runs += len(list)
		v.add(&v.unexplained, id, "it ran, and is not in the log")
	}
	return v
}

func (v *verdict) add(n *int, task, what string) {
	*n++
	v.wrong = append(v.wrong, task+": "+what)
}

// client checks one task of the clients.
func (v *verdict) client(a asked, l *life) {
	v.unknown += a.Unknown
	switch {
	case a.Refused:
		v.refused++
		return
	case a.Accepted:
		v.accepted++
	case l == nil:
		return // the client never heard of it, and it is not there
	default:
		v.left++
	}
	if a.Recovered || !a.Accepted {
		v.recovered++
	}
	if l == nil {
		v.add(&v.lost, a.ID, "it was accepted, and is not in the log")
		return
	}
	if a.Fresh > 1 {
		v.add(&v.strangers, a.ID, fmt.Sprintf("%d clients were told that it is new", a.Fresh))
	}
	if n := l.count(events.TypeTaskCancelled); a.Cancelled > 0 && n == 0 {
		v.add(&v.lost, a.ID, "it was cancelled, and the log does not know")
	}
	if n := l.count(events.TypeTaskRetryRequested); n < a.Retried || n > a.Retries {
		v.add(&v.lost, a.ID, fmt.Sprintf("%d to %d retries were acknowledged, and the log has %d", a.Retried, a.Retries, n))
	}
}

// log checks the events of one task.
func (v *verdict) log(id string, l *life) {
	if n := l.count(events.TypeTaskCompleted); n > 1 {
		v.add(&v.twice, id, fmt.Sprintf("it was completed %d times", n))
	}
	if !l.folded.State.Final() {
		v.add(&v.unfinished, id, fmt.Sprintf("it is %s since %s", l.folded.State, l.list[len(l.list)-1].ID.Time()))
	}
	if err := l.check(); err != nil {
		l.wrong = append(l.wrong, err.Error())
	}
	if len(l.wrong) > 0 {
		v.add(&v.illegal, id, l.wrong[0])
	}
}

// handlers checks the runs of one task: each is an attempt of the log, and each but the first has a
// reason there.
func (v *verdict) handlers(id string, l *life, runs []handled) {
	slices.SortStableFunc(runs, func(a, b handled) int { return a.Attempt - b.Attempt })
	v.runs += len(runs)
	v.again += max(0, len(runs)-1)
	done := false
	for i, r := range runs {
		started, end := l.attempt(r.Attempt)
		if !started {
			v.add(&v.unexplained, id, fmt.Sprintf("it ran attempt %d, which the log does not know", r.Attempt))
			continue
		}
		if end != nil && r.Began.UnixMilli() > end.ID.Ms {
			v.late++
		}
		if failed, ok := abandoned(end); ok && !v.excuse(failed.Worker, end.ID.Time()) {
			v.add(&v.robbed, id, fmt.Sprintf("attempt %d was abandoned at %s, and %s was well", r.Attempt, end.ID.Time(), failed.Worker))
		}
		done = done || end != nil && end.Data.Type() == events.TypeTaskCompleted && r.Status == http.StatusOK
		if i > 0 {
			v.second(id, l, runs[i-1], r)
		}
	}
	if c := l.completed(); c != nil && !done {
		v.add(&v.unexplained, id, "it was completed, and no handler did it")
	}
}

// abandoned returns the body of an event that says that an attempt was abandoned.
func abandoned(end *events.Event) (events.TaskFailed, bool) {
	if end == nil {
		return events.TaskFailed{}, false
	}
	failed, _ := end.Data.(events.TaskFailed)
	return failed, failed.Reason == events.ReasonAbandoned
}

// second explains why a task ran again: by the end of the attempt before.
func (v *verdict) second(id string, l *life, before, r handled) {
	if r.Attempt == before.Attempt {
		v.add(&v.unexplained, id, fmt.Sprintf("attempt %d ran twice", r.Attempt))
		return
	}
	// Attempts between the two may have ended before they came to a handler.
	for n := before.Attempt; n < r.Attempt; n++ {
		_, end := l.attempt(n)
		why, overlap := reason(end)
		switch {
		case why == "":
			v.add(&v.unexplained, id, fmt.Sprintf("attempt %d ran after attempt %d, which did not end for that", r.Attempt, n))
			return
		case n == before.Attempt && why == string(events.ReasonError) && before.Status == http.StatusOK:
			v.add(&v.unexplained, id, fmt.Sprintf("attempt %d failed in the log, and its handler had answered that all is well", n))
			return
		case n == before.Attempt && !overlap && (before.Ended.IsZero() || before.Ended.After(r.Began.Add(time.Millisecond))):
			v.add(&v.unexplained, id, fmt.Sprintf("attempts %d and %d ran at once", n, r.Attempt))
			return
		}
		if n == r.Attempt-1 {
			v.because[why]++
		}
	}
}

// reason is why there may be another attempt after one that ended so, and whether its handler may still
// be at work then; "" when there may not.
func reason(end *events.Event) (why string, overlap bool) {
	if end == nil {
		return "", false
	}
	switch d := end.Data.(type) {
	case events.TaskFailed:
		return string(d.Reason), d.Reason == events.ReasonAbandoned || d.Reason == events.ReasonTimeout
	case events.TaskReleased:
		return "released: " + string(d.Reason), true
	case events.TaskCancelled:
		return "cancelled, and retried", true
	default: // nothing else ends an attempt that another one may follow
	}
	return "", false
}
