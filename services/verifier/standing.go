package verifier

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/audit"
)

// standing is where a task stands in the ledgers of its partition.
type standing struct {
	delayed *float64 // ms
	lease   *float64 // ms
	waiting *float64 // priority, in the queue of the task
	entries []int    // the attempts that its dispatch entries hand out
	ready   bool     // its queue is among those with something waiting
	now     int64    // ms, when it was read
}

// check returns in which way a task that is under way does not stand where it should. A dispatch entry
// too many is no difference: one can be left where another was put back, and whoever reads it removes it.
func (s *standing) check(p eventlog.Partition, id string, t audit.Summary) (wrong []Difference) {
	add := func(ok bool, key, format string, args ...any) {
		if !ok {
			wrong = append(wrong, Difference{key, fmt.Sprintf("task %s is %s: ", id, t.State) + fmt.Sprintf(format, args...)})
		}
	}
	waiting, delayed := s.waiting != nil, s.delayed != nil
	switch t.State {
	case events.StateDelayed, events.StateRetrying:
		// The promoter moves it from one to the other, not before its time.
		add(waiting || delayed, p.Delayed, "it is missing, and does not wait in queue %q", t.Queue)
		add(!waiting || !delayed, p.Delayed, "it is here, and waits in queue %q, too", t.Queue)
		add(!delayed || t.Believed || *s.delayed == float64(t.DueAt), p.Delayed, "it has another due time than %d", t.DueAt)
		add(!waiting || t.Believed || t.DueAt <= s.now, p.Waiting(t.Queue), "it waits, and is not due before %d", t.DueAt)
	case events.StateWaiting:
		add(waiting, p.Waiting(t.Queue), "it is missing")
		add(!delayed, p.Delayed, "it does not belong here")
	default:
		add(!waiting, p.Waiting(t.Queue), "it does not belong here")
		add(!delayed, p.Delayed, "it does not belong here")
	}
	if waiting {
		add(t.Believed || *s.waiting == float64(t.Priority), p.Waiting(t.Queue), "it has another priority than %d", t.Priority)
		add(s.ready, p.Ready, "queue %q is missing", t.Queue)
	}
	active := t.State == events.StateActive
	add(!active || s.lease != nil, p.Leases, "it is missing")
	add(active || s.lease == nil, p.Leases, "it does not belong here")
	handed := slices.ContainsFunc(s.entries, func(attempt int) bool { return t.Believed || attempt == t.Attempt+1 })
	add(t.State != events.StateDue || handed, p.Due(t.Queue), "no entry hands out attempt %d", t.Attempt+1)
	return wrong
}

// row says in which way the fields of a task's row are not as they should be.
func row(id string, fields map[string]string, t audit.Summary) string {
	if len(fields) == 0 {
		return "it is missing"
	}
	have, err := eventlog.Row(id, fields)
	if err != nil {
		return "no decision wrote it: " + err.Error()
	}
	if why := t.Differs(audit.Of(have)); why != "" {
		return why
	}
	if fields["queue"] != have.Queue || fields["priority"] != strconv.Itoa(have.Priority) {
		return "its queue or priority is not that of its definition"
	}
	return ""
}
