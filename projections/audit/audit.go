package audit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
)

// Config says what is known of a log beside its events. The zero Config is good for a whole log.
type Config struct {
	// Limit is how many violations are told; all are counted. Zero means 20.
	Limit int
	// MaxPayload is how many bytes of JSON a payload may have. Zero means 1 MiB.
	MaxPayload int
	// Trimmed says that old entries were removed: the first event of a task may be any.
	Trimmed bool
	// Undecodable says that entries that are no events are counted, and are no violation.
	Undecodable bool
	// Retention is how long a task's row stays after its end: its id is not requested again before.
	// Zero means events.DefaultRetention.
	Retention time.Duration
	// Retired reports whether the row of a task of a queue, of which last is the newest event, went before that,
	// because there were too many. Nil means that none did.
	Retired func(queue string, last events.ID) bool
	// Home reports whether a task belongs in this partition. Nil means that there is only one.
	Home func(task string) bool
}

// Audit judges the events of one partition, one after the other. It is for one goroutine.
type Audit struct {
	cfg    Config
	report Report
	counts [invariants]int64

	live   map[string]*task
	ended  map[uint64]ended     // by the hash of the id
	placed map[uint64]events.ID // entries of TaskRequested of those in ended that can be retried
	kinds  []kind
	kindOf map[kind]uint32
	queues map[string]Queue
	lines  map[string]*line // by queue

	last    events.ID
	pause   pause
	marking bool // new tasks are marked
}

// New returns an audit of an empty log.
func New(cfg Config) *Audit {
	cfg.Limit = cmp.Or(cfg.Limit, 20)
	cfg.Retention = cmp.Or(cfg.Retention, events.DefaultRetention)
	cfg.MaxPayload = cmp.Or(cfg.MaxPayload, events.DefaultMaxPayload)
	return &Audit{
		cfg: cfg, live: map[string]*task{}, ended: map[uint64]ended{}, placed: map[uint64]events.ID{}, kindOf: map[kind]uint32{}, queues: map[string]Queue{},
		lines: map[string]*line{},
		report: Report{
			Types: map[events.Type]int64{}, Reasons: map[events.Reason]int64{}, States: map[events.State]int64{},
			Violations: []Violation{},
		},
	}
}

// Apply judges e.
func (a *Audit) Apply(e events.Event) {
	a.report.Events++
	a.report.Types[e.Data.Type()]++
	a.check(Known, e, true, "")
	a.advance(e)
	if events.Next(e.Data) == events.StateNone {
		a.queue(e)
	} else {
		a.task(e)
	}
}

// Undecodable counts an entry that is no event.
func (a *Audit) Undecodable(id events.ID, why error) {
	a.report.Undecodable++
	e := events.Event{ID: id}
	a.check(Known, e, a.cfg.Undecodable, "%s", why)
	a.advance(e)
}

// Check counts an example of an invariant that only whoever reads the log can judge: Whole.
func (a *Audit) Check(i Invariant, at events.ID, ok bool, text string) {
	a.check(i, events.Event{ID: at}, ok, "%s", text)
}

// Report returns what was found so far. With settled, a task that is not final is a violation.
func (a *Audit) Report(settled bool) Report {
	if settled {
		open := make([]*task, 0, len(a.live))
		for _, t := range a.live {
			open = append(open, t)
		}
		slices.SortFunc(open, func(x, y *task) int { return x.last().Compare(y.last()) })
		a.counts[Settled] += int64(len(a.ended))
		for _, t := range open {
			a.check(Settled, events.Event{ID: t.last(), Task: t.ID}, false, "it is %s", t.State)
		}
	}
	r := a.report
	r.Tasks = a.Tasks()
	r.Checked = make(map[Invariant]int64, invariants)
	for i, n := range a.counts {
		r.Checked[Invariant(i)] = n
	}
	r.Latency.Due.settle()
	r.Latency.Start.settle()
	return r
}

// check counts an example of an invariant, and that it is broken unless ok. It returns ok.
func (a *Audit) check(i Invariant, e events.Event, ok bool, format string, args ...any) bool {
	a.counts[i]++
	if ok {
		return true
	}
	a.report.ViolationCount++
	if len(a.report.Violations) < a.cfg.Limit {
		a.report.Violations = append(a.report.Violations, Violation{i, e.ID, e.Task, fmt.Sprintf(format, args...)})
	}
	return false
}

// pause is the last place where the log stood still, or went on from another program's pause: it bounds
// how long a script can have taken that appended what follows.
type pause struct {
	before  int64 // ms of the entry before it
	entries int   // since
}

const (
	longScript = 1000 // ms: no script takes that long, unless Redis was stopped in the middle of it
	maxScript  = 200  // entries that one script appends at the most
)

// advance judges the id of an entry.
func (a *Audit) advance(e events.Event) {
	if a.last.IsZero() {
		a.pause.entries = maxScript
	} else {
		a.check(Order, e, e.ID.Compare(a.last) > 0, "it does not lie after %s", a.last)
	}
	if a.pause.entries++; e.ID.Ms-a.last.Ms > longScript/2 && !a.last.IsZero() {
		a.pause.before, a.pause.entries = a.last.Ms, 0
	}
	a.last = e.ID
}

// decided is the earliest ms at which the script can have looked at the clock that appended an entry.
func (a *Audit) decided(e events.Event) int64 {
	if a.pause.entries <= maxScript {
		return min(a.pause.before, e.ID.Ms) - longScript
	}
	return e.ID.Ms - longScript
}

// Read returns how many entries were read.
func (a *Audit) Read() int64 { return a.report.Events + a.report.Undecodable }

// Tasks returns how many tasks the events tell of.
func (a *Audit) Tasks() int64 { return int64(len(a.live) + len(a.ended)) }
