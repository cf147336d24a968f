// Package throughput counts what happened over time, in each queue and in all of them together, and how
// long tasks waited and ran.
//
// # Slots
//
// Time is cut into slots of several lengths, and those of a length are kept for as long as somebody looks
// at them:
//
//	10 s    15 min, of all queues together
//	1 min   1 h
//	10 min  24 h
//	1 h     7 days
//
// # Bounds
//
// A queue has 372 slots at the most, and 200 queues that are never idle have 74 862 with those of all
// together. A series is read by the names of its slots, 168 at the most, however many queues there are.
package throughput

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
)

// rung is slots of one length.
type rung struct {
	step time.Duration // of a slot
	kept time.Duration // the last so many, by the time of events
	all  bool          // of all queues together only
}

// ladder is from short to long slots.
var ladder = [...]rung{
	{step: 10 * time.Second, kept: 15 * time.Minute, all: true},
	{step: time.Minute, kept: time.Hour},
	{step: 10 * time.Minute, kept: 24 * time.Hour},
	{step: time.Hour, kept: MaxWindow},
}

// MaxWindow is how far back a series goes at the most.
const MaxWindow = 7 * 24 * time.Hour

// slot returns the number of the slot in which a time in ms lies.
func (r rung) slot(ms int64) int64 { return ms / r.step.Milliseconds() }

// slots is how many of them are kept.
func (r rung) slots() int64 { return int64(r.kept / r.step) }

// Counts is what happened to tasks in some time.
type Counts struct {
	Requested int64 `json:"requested,omitempty"`
	Completed int64 `json:"completed,omitempty"`
	Failed    int64 `json:"failed,omitempty"`  // for good
	Retried   int64 `json:"retried,omitempty"` // attempts that failed and are tried again
	// Wait is how long attempts that started could have been running already, Run how long those ran that
	// completed or failed, and Late how long after their time those came to the workers that had one: tasks
	// with a delay, and retries.
	Wait Histogram `json:"wait,omitzero"`
	Run  Histogram `json:"run,omitzero"`
	Late Histogram `json:"late,omitzero"`
}

// Complete counts an attempt that was completed.
func (c *Counts) Complete(e events.TaskCompleted) {
	c.Completed++
	c.Run.Add(e.RunMs)
}

// Fail counts an attempt that failed.
func (c *Counts) Fail(e events.TaskFailed) {
	if e.RetryAt > 0 {
		c.Retried++
	} else {
		c.Failed++
	}
	c.Run.Add(e.RunMs)
}

// Add adds the counts of another queue, time or partition.
func (c *Counts) Add(o Counts) {
	c.Requested += o.Requested
	c.Completed += o.Completed
	c.Failed += o.Failed
	c.Retried += o.Retried
	c.Wait.Merge(o.Wait)
	c.Run.Merge(o.Run)
	c.Late.Merge(o.Late)
}

// View is the slots of one partition; or of several, when it was merged. The zero View is empty.
// A field is "<seconds of the slot's length> <number of the slot since the Unix epoch> <queue>", and without a
// queue that of all.
type View struct {
	projections.Fields[Counts]
	fields [len(ladder)]map[int64][]string // by slot
	newest [len(ladder)]int64              // slot that was seen

	// fresh is what happened in a slot of the first rung, by queue, and is not yet in any field.
	fresh map[string]*Counts
	at    int64 // ms, in that slot
}

// Name implements projections.View.
func (*View) Name() string { return "throughput" }

// Version implements projections.View.
func (*View) Version() int { return 2 }

// Apply implements projections.View.
func (v *View) Apply(e events.Event) {
	if ladder[0].slot(e.ID.Ms) != ladder[0].slot(v.at) {
		v.settle()
		v.at = e.ID.Ms
		v.advance()
	}
	switch d := e.Data.(type) {
	case events.TaskRequested:
		v.of(d.Queue).Requested++
	case events.TaskDue:
		if d.From == events.StateDelayed || d.From == events.StateRetrying {
			v.of(d.Queue).Late.Add(e.ID.Ms - d.DueAt)
		}
	case events.TaskStarted:
		v.of(d.Queue).Wait.Add(d.WaitMs)
	case events.TaskCompleted:
		v.of(d.Queue).Complete(d)
	case events.TaskFailed:
		v.of(d.Queue).Fail(d)
	case events.TaskReleased, events.TaskCancelled, events.TaskRetryRequested, events.QueuePaused, events.QueueResumed:
	}
}

// of returns the counts of a queue in the slot under way.
func (v *View) of(queue string) *Counts {
	c := v.fresh[queue]
	if c == nil {
		if v.fresh == nil {
			v.fresh = make(map[string]*Counts)
		}
		c = new(Counts)
		v.fresh[queue] = c
	}
	return c
}

// settle adds what is fresh to the slots of every length.
func (v *View) settle() {
	for queue, c := range v.fresh {
		for i, r := range ladder {
			slot := r.slot(v.at)
			v.touch(i, slot, "").Add(*c)
			if !r.all {
				v.touch(i, slot, queue).Add(*c)
			}
		}
	}
	clear(v.fresh)
}

// touch returns a slot to be changed.
func (v *View) touch(rung int, slot int64, queue string) *Counts {
	f := field(rung, slot, queue)
	if v.Get(f) == nil {
		v.remember(rung, slot, f)
	}
	return v.Touch(f)
}

func (v *View) remember(rung int, slot int64, field string) {
	v.newest[rung] = max(v.newest[rung], slot)
	if v.fields[rung] == nil {
		v.fields[rung] = make(map[int64][]string)
	}
	v.fields[rung][slot] = append(v.fields[rung][slot], field)
}

// advance forgets the slots that are too old by now.
func (v *View) advance() {
	for i, r := range ladder {
		newest := r.slot(v.at)
		if newest <= v.newest[i] {
			continue
		}
		v.newest[i] = newest
		for slot, fields := range v.fields[i] {
			if slot > newest-r.slots() {
				continue
			}
			for _, f := range fields {
				v.Delete(f)
			}
			delete(v.fields[i], slot)
		}
	}
}

func field(rung int, slot int64, queue string) string {
	f := strconv.Itoa(int(ladder[rung].step/time.Second)) + " " + strconv.FormatInt(slot, 10)
	if queue != "" {
		f += " " + queue
	}
	return f
}

// parse is the inverse of field.
func parse(field string) (rung int, slot int64, queue string, err error) {
	step, rest, _ := strings.Cut(field, " ")
	number, queue, named := strings.Cut(rest, " ")
	slot, err = strconv.ParseInt(number, 10, 64)
	for i, r := range ladder {
		if step == strconv.Itoa(int(r.step/time.Second)) && err == nil && named == (queue != "") && (!r.all || !named) {
			return i, slot, queue, nil
		}
	}
	return 0, 0, "", fmt.Errorf("field %q: want the length of a slot, its number and perhaps a queue", field)
}

// Changed implements projections.View.
func (v *View) Changed() iter.Seq2[string, []byte] {
	v.settle()
	return v.Fields.Changed()
}

// Load implements projections.View.
func (v *View) Load(fields map[string]string) error {
	*v = View{}
	for f := range fields {
		rung, slot, _, err := parse(f)
		if err != nil {
			return err
		}
		v.remember(rung, slot, f)
	}
	return v.Fields.Load(fields)
}

// Merge adds the view of another partition. Its slots are kept even where ours are newer.
func (v *View) Merge(o *View) {
	o.settle()
	for f, c := range o.All() {
		if rung, slot, queue, err := parse(f); err == nil { // o has no other fields
			v.touch(rung, slot, queue).Add(*c)
		}
	}
}
