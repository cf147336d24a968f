// Package search finds tasks by words: in their ids, their names, what went wrong and their payloads.
//
// # How
//
// An Index is a fold of one partition that lives in memory and is never stored. It grows both ways: Apply
// takes the event that happens next, Before the one that lies before all that it has. So it answers about the
// newest tasks as soon as it has read a page of the log, and reads no further back than it can keep.
//
// # Guarantees
//
// Both ways give the same: whatever was folded backwards and the rest forwards, the index holds what a fold
// from the first of these events on would hold. Every task whose newest event is not before Since is there.
//
// # Bounds
//
// The index is bounded by bytes and by time: the tasks that did not change for longest go first. Of a payload
// and of an error only the first 2 KiB are kept, in lower case. A task that was asked for before Since is
// found by its id, its name and its newest error only.
package search

import (
	"time"
	"unique"

	"github.com/tasklog/tasklog/events"
)

// document is a task as it is searched.
type document struct {
	id    string
	label unique.Handle[events.Label]
	at    events.ID // of its newest event
	text  string    // id, name and payload, a line each, in lower case
	wrong string    // its newest error, or why it was cancelled, in lower case
	state events.State
	whole bool // its TaskRequested was seen: what lies before that is of another life
	old   bool // it stands in older, at place
	place int
}

// overhead is roughly what a document takes beside its text: itself, its places, and its name in the map.
const overhead = 224

func (d *document) size() int { return overhead + len(d.id) + len(d.text) + len(d.wrong) }

// begin takes what was asked for.
func (d *document) begin(r events.TaskRequested) {
	d.label, d.text, d.whole = unique.Make(r.Label), text(d.id, r.Name, r.Payload), true
}

// Index is the tasks of one partition. Make one with New. Reading it is safe for many goroutines at once.
type Index struct {
	limit int
	keep  int64 // ms

	docs   map[string]*document
	newer  []*document // in the order of events; nil where a task has moved on
	older  []*document // the other way round, and all of it before newer
	head   int         // nothing of newer is left before this
	bytes  int
	newest events.ID // event that was seen
	since  events.ID
	closed bool // nothing older is taken any more
}

// New returns an empty index of limit bytes at the most, of tasks whose newest event is not older than keep,
// by the time of events.
func New(limit int, keep time.Duration) *Index {
	return &Index{limit: limit, keep: keep.Milliseconds(), docs: map[string]*document{}}
}

// Apply takes the next event. It implements projections.Applier.
func (x *Index) Apply(e events.Event) {
	x.saw(e.ID)
	x.newest = e.ID
	if e.Task == "" {
		return
	}
	d := x.docs[e.Task]
	if d == nil {
		d = x.add(e)
	} else {
		x.leave(d)
	}
	x.bytes -= d.size()
	if r, ok := e.Data.(events.TaskRequested); ok {
		d.wrong = "" // of a life before
		d.begin(r)
	}
	if s, ok := trouble(e.Data); ok {
		d.wrong = s
	}
	x.bytes += d.size()
	d.at, d.state, d.old, d.place = e.ID, events.Next(e.Data), false, len(x.newer)
	x.newer = append(x.newer, d)
	x.shrink(e.ID.Ms - x.keep)
	x.compact()
}

// Before takes the event that lies before all that the index has. It changes nothing once Wants says no.
func (x *Index) Before(e events.Event) {
	if e.ID.Ms < x.newest.Ms-x.keep {
		x.closed = true
	}
	if !x.Wants() {
		return
	}
	if x.newest.IsZero() {
		x.newest = e.ID
	}
	x.since = e.ID
	if e.Task == "" {
		return
	}
	d := x.docs[e.Task]
	if d == nil {
		d = x.add(e)
		d.at, d.state, d.old, d.place = e.ID, events.Next(e.Data), true, len(x.older)
		x.older = append(x.older, d)
	}
	if d.whole {
		return
	}
	x.bytes -= d.size()
	if r, ok := e.Data.(events.TaskRequested); ok {
		d.begin(r)
	}
	if s, ok := trouble(e.Data); ok && d.wrong == "" {
		d.wrong = s
	}
	x.bytes += d.size()
}

// Wants reports whether Before is of use.
func (x *Index) Wants() bool { return !x.closed && x.bytes < x.limit }

// saw notes the first event.
func (x *Index) saw(id events.ID) {
	if x.since.IsZero() {
		x.since = id
	}
}

// add makes the document of a task that the index does not have.
func (x *Index) add(e events.Event) *document {
	label := e.Data.About()
	d := &document{id: e.Task, label: unique.Make(label), text: text(e.Task, label.Name, nil)}
	x.docs[d.id] = d
	x.bytes += d.size()
	return d
}

// leave takes a document from its place.
func (x *Index) leave(d *document) {
	if d.old {
		x.older[d.place] = nil
	} else {
		x.newer[d.place] = nil
	}
}

// oldest returns the document that did not change for longest, or nil.
func (x *Index) oldest() *document {
	for n := len(x.older); n > 0; n = len(x.older) {
		if d := x.older[n-1]; d != nil {
			return d
		}
		x.older = x.older[:n-1]
	}
	for ; x.head < len(x.newer); x.head++ {
		if d := x.newer[x.head]; d != nil {
			return d
		}
	}
	return nil
}

// shrink drops what is too much, and what did not change since a time.
func (x *Index) shrink(ms int64) {
	for d := x.oldest(); d != nil && (x.bytes > x.limit || d.at.Ms < ms); d = x.oldest() {
		x.leave(d)
		delete(x.docs, d.id)
		x.bytes -= d.size()
		x.since, x.closed = d.at.Next(), true // of what comes before, an older event would tell a wrong state
	}
}

// compact closes the holes when there are more of them than documents.
func (x *Index) compact() {
	if len(x.newer)-x.head+len(x.older) <= 2*len(x.docs)+1000 && x.head < 1000+len(x.newer)/2 {
		return
	}
	x.newer, x.older, x.head = packed(x.newer), packed(x.older), 0
}

// packed returns the documents of a list without the holes.
func packed(list []*document) []*document {
	full := make([]*document, 0, len(list)/2)
	for _, d := range list {
		if d != nil {
			d.place = len(full)
			full = append(full, d)
		}
	}
	return full
}

// Covers is what an index can answer about.
type Covers struct {
	Since  events.ID // every task whose newest event is not before this one is there; zero: nothing was read
	Newest events.ID // event that was read
	Tasks  int
	Bytes  int
}

// Covers tells what the index can answer about.
func (x *Index) Covers() Covers { return Covers{x.since, x.newest, len(x.docs), x.bytes} }
