// Package names counts what happened of late to the tasks of each name in a queue, and how long they ran.
//
// # Bounds
//
// Counts are kept in slots of six hours, those of the last day and the one that is under way. A queue has at
// most 50 names at a time, those that came first; what happens to tasks of others is counted under no name.
// A name that nobody used for a day makes room.
package names

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/throughput"
)

const (
	// Max is how many names of a queue are counted by themselves.
	Max = 50
	// Step is the length of a slot.
	Step = 6 * time.Hour

	kept = 5 // slots: those that the last 24 hours touch
)

// Entry is one field of the view: the names of a queue, in the order in which they came, or the counts of a name
// in a slot. Only how long tasks ran is counted of the durations.
type Entry struct {
	Names []string `json:"names,omitempty"`
	throughput.Counts
}

// Name is what happened to the tasks of a name.
type Name struct {
	Name string // empty: of all that are not counted by themselves
	throughput.Counts
}

// key is a name of a queue.
type key struct{ queue, name string }

// View is the names of one partition; or of several, when it was merged. The zero View is empty. A field is
// "names <queue>", or "<number of the slot since the Unix epoch> <length of queue in bytes> <queue> <name>".
type View struct {
	projections.Fields[Entry]
	slots  map[key][]int64 // those that have a field, rising
	listed map[string]map[string]bool
	at     int64 // the slot under way

	// fresh is what happened in that slot and is not yet in a field.
	fresh map[key]*throughput.Counts
}

// Name implements projections.View.
func (*View) Name() string { return "names" }

// Version implements projections.View.
func (*View) Version() int { return 1 }

func slotOf(ms int64) int64 { return ms / Step.Milliseconds() }

// Apply implements projections.View.
func (v *View) Apply(e events.Event) {
	if slot := slotOf(e.ID.Ms); slot != v.at {
		v.settle()
		v.at = slot
		v.forget()
	}
	switch d := e.Data.(type) {
	case events.TaskRequested:
		v.of(d.Label).Requested++
	case events.TaskCompleted:
		v.of(d.Label).Complete(d)
	case events.TaskFailed:
		v.of(d.Label).Fail(d)
	case events.TaskDue, events.TaskStarted, events.TaskReleased, events.TaskCancelled, events.TaskRetryRequested,
		events.QueuePaused, events.QueueResumed:
	}
}

// of returns the counts of a name in the slot under way. Who gets a name of its own is decided here, in the
// order of events, and not when they are stored.
func (v *View) of(l events.Label) *throughput.Counts {
	k := key{l.Queue, l.Name}
	if !v.listed[k.queue][k.name] {
		if len(v.listed[k.queue]) < Max {
			v.list(k)
			e := v.Touch(listField(k.queue))
			e.Names = append(e.Names, k.name)
		} else {
			k.name = ""
		}
	}
	c := v.fresh[k]
	if c == nil {
		if v.fresh == nil {
			v.fresh = map[key]*throughput.Counts{}
		}
		c = new(throughput.Counts)
		v.fresh[k] = c
	}
	return c
}

func (v *View) list(k key) {
	if v.listed == nil {
		v.listed = map[string]map[string]bool{}
	}
	if v.listed[k.queue] == nil {
		v.listed[k.queue] = map[string]bool{}
	}
	v.listed[k.queue][k.name] = true
}

// settle puts what is fresh into fields.
func (v *View) settle() {
	for k, c := range v.fresh {
		v.touch(k, v.at).Add(*c)
	}
	clear(v.fresh)
}

// touch returns the counts of a name in a slot, to be changed.
func (v *View) touch(k key, slot int64) *throughput.Counts {
	f := slotField(k, slot)
	if v.Get(f) == nil {
		v.remember(k, slot)
	}
	return &v.Touch(f).Counts
}

func (v *View) remember(k key, slot int64) {
	if v.slots == nil {
		v.slots = map[key][]int64{}
	}
	i, _ := slices.BinarySearch(v.slots[k], slot)
	v.slots[k] = slices.Insert(v.slots[k], i, slot)
}

// forget drops the slots that are too old by now, and the names that have none left.
func (v *View) forget() {
	for k, slots := range v.slots {
		for len(slots) > 0 && slots[0] <= v.at-kept {
			v.Delete(slotField(k, slots[0]))
			slots = slots[1:]
		}
		if v.slots[k] = slots; len(slots) > 0 {
			continue
		}
		delete(v.slots, k)
		if k.name == "" {
			continue
		}
		delete(v.listed[k.queue], k.name)
		if len(v.listed[k.queue]) == 0 {
			delete(v.listed, k.queue)
			v.Delete(listField(k.queue))
			continue
		}
		e := v.Touch(listField(k.queue))
		e.Names = slices.DeleteFunc(e.Names, func(name string) bool { return name == k.name })
	}
}

const listPrefix = "names "

func listField(queue string) string { return listPrefix + queue }

func slotField(k key, slot int64) string {
	return strconv.FormatInt(slot, 10) + " " + strconv.Itoa(len(k.queue)) + " " + k.queue + " " + k.name
}

// parse is the inverse of slotField.
func parse(field string) (k key, slot int64, err error) {
	number, rest, _ := strings.Cut(field, " ")
	length, rest, _ := strings.Cut(rest, " ")
	slot, err = strconv.ParseInt(number, 10, 64)
	n, bad := strconv.Atoi(length)
	if err != nil || bad != nil || n < 0 || n >= len(rest) || rest[n] != ' ' {
		return k, 0, fmt.Errorf("field %q: want a slot, a queue and a name", field)
	}
	return key{rest[:n], rest[n+1:]}, slot, nil
}

// Changed implements projections.View.
func (v *View) Changed() iter.Seq2[string, []byte] {
	v.settle()
	return v.Fields.Changed()
}

// Load implements projections.View.
func (v *View) Load(fields map[string]string) error {
	*v = View{}
	if err := v.Fields.Load(fields); err != nil {
		return err
	}
	for f, e := range v.All() {
		if queue, ok := strings.CutPrefix(f, listPrefix); ok {
			for _, name := range e.Names {
				v.list(key{queue, name})
			}
			continue
		}
		k, slot, err := parse(f)
		if err != nil {
			return err
		}
		v.remember(k, slot)
		v.at = max(v.at, slot)
	}
	return nil
}

// List returns the field that Needs wants to know of.
func List(queue string) string { return listField(queue) }

// Needs returns the fields of the names of a queue, as far as a view has the field of List: 255 at the most.
func (v *View) Needs(queue string, now time.Time) []string {
	last := slotOf(now.UnixMilli())
	var fields []string
	for _, name := range append([]string{""}, v.names(queue)...) {
		for slot := last - kept + 1; slot <= last; slot++ {
			fields = append(fields, slotField(key{queue, name}, slot))
		}
	}
	return fields
}

func (v *View) names(queue string) []string {
	if e := v.Get(listField(queue)); e != nil {
		return e.Names
	}
	return nil
}

// Merge adds the view of another partition. A queue may then have more names than Max.
func (v *View) Merge(o *View) {
	o.settle()
	for f, e := range o.All() {
		if queue, ok := strings.CutPrefix(f, listPrefix); ok {
			for _, name := range e.Names {
				if k := (key{queue, name}); !v.listed[queue][name] {
					v.list(k)
					into := v.Touch(f)
					into.Names = append(into.Names, name)
				}
			}
			continue
		}
		if k, slot, err := parse(f); err == nil { // o has no other fields
			v.touch(k, slot).Add(e.Counts)
		}
	}
}

// Since returns when the counts of Of begin: 24 to 30 hours before now.
func Since(now time.Time) time.Time {
	return time.UnixMilli((slotOf(now.UnixMilli()) - kept + 1) * Step.Milliseconds()).UTC()
}

// Of returns what happened to the tasks of a queue since Since, by name, and at last under no name what is left.
// Names to which nothing happened are left out.
func (v *View) Of(queue string, now time.Time) []Name {
	v.settle()
	last := slotOf(now.UnixMilli())
	var list []Name
	names := slices.Sorted(slices.Values(v.names(queue)))
	for _, name := range append(names, "") {
		n := Name{Name: name}
		for slot := last - kept + 1; slot <= last; slot++ {
			if e := v.Get(slotField(key{queue, name}, slot)); e != nil {
				n.Add(e.Counts)
			}
		}
		if n.Requested+n.Completed+n.Failed+n.Retried > 0 {
			list = append(list, n)
		}
	}
	return list
}
