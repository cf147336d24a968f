// Package rows makes the rows of tasks from the events of a partition: what every decision looks at, field
// by field as the scripts write them.
//
// # Bounds
//
// The fold holds a working set and not the log. Whoever folds empties it with Drain where it is Full, keeps
// the rows elsewhere, and loads those back that Missing names before more events are applied.
package rows

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tasklog/tasklog/events"
)

// Row is a task as its row holds it.
type Row struct {
	events.Task
	Retried events.ID // the newest TaskRetryRequested, or the zero ID
}

// A definition of up to maxInPieces bytes is in fields of its own, piece bytes in each: Redis keeps a hash of
// short values in one small piece of memory. The row of a completed task has none.
const (
	piece       = 64
	maxInPieces = 256
)

// Fields returns the fields of the row and their values, in turn. It fails only for a payload that is not JSON.
func (r Row) Fields() ([]string, error) {
	label, err := events.Fragment(r.Label)
	if err != nil {
		return nil, fmt.Errorf("task %s: its label: %w", r.ID, err)
	}
	def, err := events.Fragment(r.Definition)
	if err != nil {
		return nil, fmt.Errorf("task %s: its definition: %w", r.ID, err)
	}
	fields := []string{
		"state", string(r.State), "priority", strconv.Itoa(r.Priority), "dueAt", strconv.FormatInt(r.DueAt, 10),
		"queue", r.Queue, "label", label,
	}
	for i, id := range r.Events {
		if i == 0 {
			fields = append(fields, "requested", id.String())
		} else {
			fields = append(fields, id.String(), "")
		}
	}
	if r.State == events.StateCompleted {
		def = ""
	}
	if len(def) > maxInPieces {
		fields = append(fields, "def", def)
	} else {
		for n := 1; def != ""; n++ {
			size := min(piece, len(def))
			fields = append(fields, "def"+strconv.Itoa(n), def[:size])
			def = def[size:]
		}
	}
	if r.RequestID != "" {
		fields = append(fields, "request", r.RequestID)
	}
	if r.Attempt > 0 {
		fields = append(fields, "attempt", strconv.Itoa(r.Attempt), "worker", r.Worker)
	}
	if r.Token != "" {
		fields = append(fields, "token", r.Token)
	}
	if r.Retried != (events.ID{}) {
		fields = append(fields, "retry", r.RetryID+" "+r.Retried.String())
	}
	if r.Uncounted > 0 || r.Retried != (events.ID{}) {
		fields = append(fields, "uncounted", strconv.Itoa(r.Uncounted))
	}
	return fields, nil
}

// size is roughly how many bytes a row takes.
func (r Row) size() int { return 512 + len(r.Payload) + 16*len(r.Events) }

// held is a row of the working set.
type held struct {
	row     Row
	changed bool // since it was loaded
}

// maxTold is how many illegal events are told in full; all are counted.
const maxTold = 5

// Fold is the working set. Make one with New.
type Fold struct {
	Events  int64                  // applied
	Illegal int64                  // events that no task could take: they were passed over
	Told    []string               // what was wrong with the first of these
	Older   int64                  // events that could not be applied to a task that began before the first event
	States  map[events.State]int64 // tasks that did not begin before that, by state
	Paused  map[string]bool

	first       events.ID // event that was met
	limit, size int
	tasks       map[string]*held
	queues      map[string]bool // asked for since the last Drain
}

// New returns an empty fold that is full with so many bytes.
func New(limit int) *Fold {
	return &Fold{limit: limit, Paused: map[string]bool{}, States: map[events.State]int64{}, tasks: map[string]*held{}, queues: map[string]bool{}}
}

// Missing returns the tasks of some events that are not in the working set, each once.
func (f *Fold) Missing(some []events.Event) (ids []string) {
	seen := map[string]bool{}
	for _, e := range some {
		if e.Task != "" && f.tasks[e.Task] == nil && !seen[e.Task] {
			seen[e.Task] = true
			ids = append(ids, e.Task)
		}
	}
	return ids
}

// Load puts a row into the working set that Drain returned before.
func (f *Fold) Load(r Row) {
	f.tasks[r.ID] = &held{row: r}
	f.size += r.size()
}

// Apply folds the next event. One that its task cannot take is counted and changes nothing.
func (f *Fold) Apply(e events.Event) {
	if f.first == (events.ID{}) {
		f.first = e.ID
	}
	switch d := e.Data.(type) {
	case events.QueuePaused:
		f.queues[d.Queue], f.Paused[d.Queue] = true, true
		f.Events++
		return
	case events.QueueResumed:
		f.queues[d.Queue] = true
		delete(f.Paused, d.Queue)
		f.Events++
		return
	default:
	}
	h := f.tasks[e.Task]
	var before Row
	if h != nil {
		before = h.row
	}
	task := before.Anew(e)
	next := Row{Retried: before.Retried}
	if task.ID == "" { // another life
		next.Retried = events.ID{}
	}
	var err error
	if next.Task, err = task.Evolve(e); err != nil {
		if h != nil && before.Events[0].Compare(f.first) < 0 {
			f.Older++
			return
		}
		if f.Illegal++; len(f.Told) < maxTold {
			f.Told = append(f.Told, err.Error())
		}
		return
	}
	f.Events++
	f.count(before.Task, -1)
	f.count(next.Task, 1)
	switch d := e.Data.(type) {
	case events.TaskRequested:
		f.queues[d.Queue] = true
	case events.TaskRetryRequested:
		next.Retried = e.ID
	default:
	}
	if h == nil {
		h = &held{}
		f.tasks[e.Task] = h
	} else {
		f.size -= before.size()
	}
	h.row, h.changed = next, true
	f.size += next.size()
}

// count counts a task in its state.
func (f *Fold) count(t events.Task, n int64) {
	if t.ID != "" && t.Events[0].Compare(f.first) >= 0 {
		f.States[t.State] += n
	}
}

// Full reports that it is time to Drain.
func (f *Fold) Full() bool { return f.size >= f.limit }

// Drain empties the working set. It returns the rows that changed and the queues that were asked for since
// the last time, both in the order of names.
func (f *Fold) Drain() (changed []Row, queues []string) {
	for _, h := range f.tasks {
		if h.changed {
			changed = append(changed, h.row)
		}
	}
	for q := range f.queues {
		queues = append(queues, q)
	}
	slices.SortFunc(changed, func(a, b Row) int { return strings.Compare(a.ID, b.ID) })
	slices.Sort(queues)
	clear(f.tasks)
	clear(f.queues)
	f.size = 0
	return changed, queues
}
