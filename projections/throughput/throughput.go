// Package throughput counts what happened in each minute of the last day, by queue, and how long
// tasks waited and ran.
package throughput

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
)

// Window is how long a minute is kept, by the time of events.
const Window = 24 * time.Hour

const keep = int64(Window / time.Minute) // minutes

// Counts is what happened to the tasks of a queue in some time.
type Counts struct {
	Requested int64 `json:"requested,omitempty"`
	Completed int64 `json:"completed,omitempty"`
	Failed    int64 `json:"failed,omitempty"`  // for good
	Retried   int64 `json:"retried,omitempty"` // attempts that failed and are tried again
	// Wait is how long attempts that started were due before, Run how long those ran that
	// completed or failed.
	Wait Histogram `json:"wait"`
	Run  Histogram `json:"run"`
}

// Add adds the counts of another queue, time or partition.
func (c *Counts) Add(o Counts) {
	c.Requested += o.Requested
	c.Completed += o.Completed
	c.Failed += o.Failed
	c.Retried += o.Retried
	c.Wait.Merge(o.Wait)
	c.Run.Merge(o.Run)
}

// Minute is a minute of one queue.
type Minute struct {
	At    time.Time // when it began, UTC
	Queue string
	Counts
}

// View is the minutes of one partition; or of several, when it was merged. The zero View is empty.
// A field is "<minutes since the Unix epoch> <queue>".
type View struct {
	projections.Fields[Counts]
	newest int64              // the newest minute that was seen
	fields map[int64][]string // by minute
	last   struct {           // the field that was named last: most events are of the same one
		minute       int64
		queue, field string
	}
}

// Name implements projections.View.
func (*View) Name() string { return "throughput" }

// Version implements projections.View.
func (*View) Version() int { return 1 }

// Apply implements projections.View.
func (v *View) Apply(e events.Event) {
	minute := e.ID.Ms / time.Minute.Milliseconds()
	v.advance(minute)
	queue := e.Data.About().Queue
	switch d := e.Data.(type) {
	case events.TaskRequested:
		v.at(minute, queue).Requested++
	case events.TaskStarted:
		v.at(minute, queue).Wait.Add(d.WaitMs)
	case events.TaskCompleted:
		c := v.at(minute, queue)
		c.Completed++
		c.Run.Add(d.RunMs)
	case events.TaskFailed:
		c := v.at(minute, queue)
		if d.RetryAt > 0 {
			c.Retried++
		} else {
			c.Failed++
		}
		c.Run.Add(d.RunMs)
	case events.TaskDue, events.TaskReleased, events.TaskCancelled, events.TaskRetryRequested,
		events.QueuePaused, events.QueueResumed:
	}
}

// advance forgets the minutes that lie Window before a new one.
func (v *View) advance(minute int64) {
	if minute <= v.newest {
		return
	}
	v.newest = minute
	for m, fields := range v.fields {
		if m > minute-keep {
			continue
		}
		for _, f := range fields {
			v.Delete(f)
		}
		delete(v.fields, m)
	}
}

func (v *View) at(minute int64, queue string) *Counts {
	if v.last.field == "" || v.last.minute != minute || v.last.queue != queue {
		v.last.minute, v.last.queue, v.last.field = minute, queue, field(minute, queue)
	}
	if v.Get(v.last.field) == nil {
		v.remember(minute, v.last.field)
	}
	return v.Touch(v.last.field)
}

func (v *View) remember(minute int64, field string) {
	if v.fields == nil {
		v.fields = make(map[int64][]string)
	}
	v.fields[minute] = append(v.fields[minute], field)
}

func field(minute int64, queue string) string { return strconv.FormatInt(minute, 10) + " " + queue }

// parse is the inverse of field.
func parse(field string) (minute int64, queue string, err error) {
	left, queue, found := strings.Cut(field, " ")
	if minute, err = strconv.ParseInt(left, 10, 64); err != nil || !found {
		return 0, "", fmt.Errorf("field %q: want minute and queue", field)
	}
	return minute, queue, nil
}

// Load implements projections.View.
func (v *View) Load(fields map[string]string) error {
	v.newest, v.fields = 0, nil
	for f := range fields {
		minute, _, err := parse(f)
		if err != nil {
			return err
		}
		v.newest = max(v.newest, minute)
		v.remember(minute, f)
	}
	return v.Fields.Load(fields)
}

// Merge adds the view of another partition. Its minutes are kept even where ours are newer.
func (v *View) Merge(o *View) {
	for f, c := range o.All() {
		if minute, queue, err := parse(f); err == nil { // o has no other fields
			v.newest = max(v.newest, minute)
			v.at(minute, queue).Add(*c)
		}
	}
}

// Minutes returns every minute in which something happened, oldest first, then by queue.
func (v *View) Minutes() []Minute {
	list := make([]Minute, 0, v.Len())
	for f, c := range v.All() {
		if minute, queue, err := parse(f); err == nil {
			list = append(list, Minute{At: time.UnixMilli(minute * time.Minute.Milliseconds()).UTC(), Queue: queue, Counts: *c})
		}
	}
	slices.SortStableFunc(list, func(a, b Minute) int { return a.At.Compare(b.At) })
	return list
}

// Total returns what happened from a time on, which is rounded down to its minute; queue chooses one, or all
// when it is empty.
func (v *View) Total(since time.Time, queue string) (sum Counts) {
	from := since.Truncate(time.Minute)
	for _, m := range v.Minutes() {
		if !m.At.Before(from) && (queue == "" || queue == m.Queue) {
			sum.Add(m.Counts)
		}
	}
	return sum
}
