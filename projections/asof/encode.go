package asof

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
)

// layout is that of the encoding, and of what it means. It changes when either does.
const layout = 1

// Version is that of everything that is encoded: what has another one is of no use, and is made again from the log.
var Version = fmt.Sprintf("%d queues=%d", layout, new(queues.View).Version())

// errDamaged reports bytes that Encode did not write.
var errDamaged = errors.New("a view of the past is damaged")

// Encode returns the view of one partition as bytes. All numbers are varints, and a string that was there before
// is a reference to it: a compressor does the rest.
//
//	version · last · skipped · missed
//	number of queues · for each, by name: name · JSON
//	number of tasks · for each, by the id of its last event: that as a difference to the task before ·
//	    task · state · queue · name · worker · requested · dueAt (both before the last event) · priority · maxAttempts ·
//	    attempt · uncounted
func (v *View) Encode() []byte {
	w := writer{known: map[string]uint64{}}
	w.text(Version)
	w.id(events.ID{}, v.Last)
	w.int(v.Skipped)
	w.int(v.Missed)
	w.uint(uint64(v.Queues.Len()))
	for name, q := range v.Queues.All() {
		data, _ := json.Marshal(q) // numbers, and maps of them
		w.word(name)
		w.text(string(data))
	}
	list := slices.SortedFunc(maps.Values(v.places), func(a, b Place) int { return a.At.Compare(b.At) })
	w.uint(uint64(len(list)))
	last := events.ID{}
	for _, p := range list {
		w.id(last, p.At)
		last = p.At
		w.text(p.Task)
		w.word(string(p.State))
		w.word(p.Queue)
		w.word(p.Name)
		w.word(p.Worker)
		w.id(p.At, p.Requested)
		w.int(p.DueAt - p.At.Ms)
		for _, n := range []int{p.Priority, p.MaxAttempts, p.Attempt, p.Uncounted} {
			w.int(int64(n))
		}
	}
	return w.out
}

// Decode is the inverse of Encode. An error means that the bytes are of another version, or damaged.
func Decode(data []byte) (*View, error) {
	r := &reader{in: data}
	if version := r.text(); version != Version {
		return nil, fmt.Errorf("%w, or of version %q: this program knows %q", errDamaged, version, Version)
	}
	v := &View{Last: r.id(events.ID{}), Skipped: r.int(), Missed: r.int()}
	for range r.count() {
		name := r.word()
		if err := json.Unmarshal([]byte(r.text()), v.Queues.Touch(name)); err != nil {
			return nil, fmt.Errorf("%w: queue %q: %w", errDamaged, name, err)
		}
	}
	last := events.ID{}
	for range r.count() {
		var p Place
		last = r.id(last)
		p.At, p.Task, p.State = last, r.text(), events.State(r.word())
		p.Queue, p.Name, p.Worker = r.word(), r.word(), r.word()
		p.Requested, p.DueAt = r.id(p.At), r.int()+p.At.Ms
		for _, n := range []*int{&p.Priority, &p.MaxAttempts, &p.Attempt, &p.Uncounted} {
			*n = int(r.int())
		}
		v.put(p)
	}
	if r.bad || len(r.in) > 0 {
		return nil, errDamaged
	}
	return v, nil
}

// writer appends to what is encoded.
type writer struct {
	out   []byte
	known map[string]uint64 // word → its number, from 1 on
}

func (w *writer) uint(n uint64) { w.out = binary.AppendUvarint(w.out, n) }
func (w *writer) int(n int64)   { w.out = binary.AppendVarint(w.out, n) }

// id writes an id as seen from another one.
func (w *writer) id(from, to events.ID) {
	w.int(to.Ms - from.Ms)
	w.uint(to.Seq)
}

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.out = append(w.out, s...)
}

// word writes a string that comes often: its number, or 0 and the string when it is new.
func (w *writer) word(s string) {
	n := w.known[s]
	w.uint(n)
	if n == 0 {
		w.known[s] = uint64(len(w.known) + 1)
		w.text(s)
	}
}

// reader reads what writer wrote. After bad its answers mean nothing.
type reader struct {
	in    []byte
	known []string
	bad   bool
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.in)
	return took(r, n, size)
}

func (r *reader) int() int64 {
	n, size := binary.Varint(r.in)
	return took(r, n, size)
}

// took moves on behind a number that was size bytes long.
func took[N uint64 | int64](r *reader, n N, size int) N {
	if size <= 0 || r.bad {
		r.bad, r.in = true, nil
		return 0
	}
	r.in = r.in[size:]
	return n
}

// count reads how many of something follow, each of which takes at least a byte.
func (r *reader) count() uint64 {
	n := r.uint()
	if n > uint64(len(r.in)) {
		r.bad, r.in = true, nil
		return 0
	}
	return n
}

func (r *reader) id(from events.ID) events.ID {
	ms := r.int() + from.Ms
	return events.ID{Ms: ms, Seq: r.uint()}
}

func (r *reader) text() string {
	n := r.count()
	s := string(r.in[:n])
	r.in = r.in[n:]
	return s
}

func (r *reader) word() string {
	n := r.uint()
	if n == 0 {
		s := r.text()
		r.known = append(r.known, s)
		return s
	}
	if n > uint64(len(r.known)) {
		r.bad, r.in = true, nil
		return ""
	}
	return r.known[n-1]
}
