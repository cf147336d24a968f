package whatif

import (
	"slices"
	"time"
)

// hands are a worker.
type hands struct {
	*simulation
	Worker
	there   bool
	running int    // slots that are held
	pending []*job // taken by one reader while those of other partitions hold all slots
	readers []*reader
}

// reader is what takes, for a worker, what is due in one partition: as the one of services/worker.
type reader struct {
	*hands
	part   *partition
	lanes  []*lane // that it serves
	serves []bool  // by place of the lane
	share  int     // of the slots
	flying int     // of these, held
	turn   int     // which lane comes next, when not all can be read at once

	// While it waits for something to be due:
	reading bool
	free    int           // how many it looks for; so many lanes it looks at, from turn on, and in each Turn at the next ones
	since   time.Duration // when that began
	looks   bool          // again when that is over
}

func newHands(s *simulation, w Worker) *hands {
	h := &hands{simulation: s, Worker: w}
	for n, p := range s.parts {
		r := &reader{
			hands: h, part: p, serves: make([]bool, len(p.lanes)), share: (w.Slots + len(s.parts) - 1) / len(s.parts),
		}
		for i, queue := range s.past.parts[n].queues {
			if w.Queues == nil || slices.Contains(w.Queues, queue) {
				r.serves[i] = true
				r.lanes = append(r.lanes, p.lanes[i])
			}
		}
		h.readers = append(h.readers, r)
	}
	return h
}

// come lets a worker begin.
func (h *hands) come() {
	h.there = true
	for _, r := range h.readers {
		for _, l := range r.lanes {
			l.credit += h.Slots
		}
		r.part.arm()
	}
}

// leave lets a worker take nothing more.
func (h *hands) leave() {
	h.there = false
	for _, r := range h.readers {
		r.stop()
		for _, l := range r.lanes {
			l.credit -= h.Slots
		}
	}
}

// read lets every reader that can look for what is due.
func (h *hands) read() {
	for _, r := range h.readers {
		r.read()
	}
}

// take gives a job a slot, or has it wait for one.
func (r *reader) take(j *job) {
	j.reader = r
	r.out[j.n].Worker = r.ID
	r.flying++
	if r.running == r.Slots {
		r.pending = append(r.pending, j)
		return
	}
	r.running++
	r.plan(r.now+r.Pickup, func() { r.start(j) })
}

// hold gives a slot to a job that was already active.
func (r *reader) hold(j *job) {
	j.reader, j.state = r, active
	r.out[j.n].Worker = r.ID
	r.flying++
	r.running++
	r.plan(r.now+j.run, func() { r.finish(j) })
}

// release frees the slot of a job.
func (r *reader) release() {
	r.flying--
	r.running--
	if len(r.pending) > 0 {
		j := r.pending[0]
		r.pending = r.pending[1:]
		r.running++
		r.plan(r.now+r.Pickup, func() { r.start(j) })
	}
	if !r.reading {
		r.read()
	} else {
		r.look()
	}
}

// some reports whether the reader looks at some of its lanes only.
func (r *reader) some() bool { return r.free < len(r.lanes) }

// each returns how many jobs it takes from each of them: COUNT is a limit for each stream.
func (r *reader) each() int { return max(1, r.free/len(r.lanes)) }

// whole reports whether it looks at all of its lanes: then it waits until it is served.
func (r *reader) whole() bool { return !r.some() || r.Turn == 0 }

// view returns how many lanes it looks at.
func (r *reader) view() int {
	if r.whole() {
		return len(r.lanes)
	}
	return r.free
}

// read takes what is due as long as there are slots and something is seen; then it waits.
func (r *reader) read() {
	r.stop()
	if !r.there || len(r.lanes) == 0 {
		return
	}
	for took := true; took; {
		r.free = min(r.share-r.flying, maxItems)
		if r.free <= 0 {
			return
		}
		took = false
		first := r.turn
		for i := range r.view() {
			took = r.takeFrom(r.lanes[(first+i)%len(r.lanes)]) || took
		}
		if took {
			r.pass(1)
		}
	}
	r.reading, r.since, r.looks = true, r.now, false
	r.part.reading = append(r.part.reading, r)
	for _, l := range r.lanes {
		if len(l.due) > 0 {
			r.look()
			break
		}
	}
}

// pass counts reads that are over: the next one begins with other lanes.
func (r *reader) pass(reads int) {
	if r.some() {
		r.turn = (r.turn + reads*r.free) % len(r.lanes)
	}
}

// ends returns when a read that waits since some time ends of itself: when its Turn is over, and Redis does something,
// which it does at least at each tick.
func (r *reader) ends(since time.Duration) time.Duration {
	over := since + r.Turn
	return (over + tick - 1) / tick * tick
}

// expired reports whether a read that waits is over: its Turn is. It counts the reads that were over before,
// tick after tick, while nothing happened.
func (r *reader) expired() bool {
	if end := r.ends(r.since); end < r.now && !r.looks {
		every := r.ends(0)
		reads := int((r.now-1-end)/every) + 1
		r.pass(reads)
		r.since = end + time.Duration(reads-1)*every
	}
	return r.since+r.Turn <= r.now
}

// takeFrom takes what is due in a lane, and reports whether there was anything.
func (r *reader) takeFrom(l *lane) (took bool) {
	for range r.each() {
		if r.flying == r.share {
			break
		}
		j := l.take()
		if j == nil {
			break
		}
		r.take(j)
		took = true
	}
	return took
}

// sees reports whether a reader that waits will be given what becomes due in a lane now.
func (r *reader) sees(l *lane) bool {
	if !r.serves[l.place] {
		return false
	}
	if r.whole() {
		return true
	}
	return (slices.Index(r.lanes, l)-r.turn+len(r.lanes))%len(r.lanes) < r.free
}

// served ends the wait: something became due in a lane.
func (r *reader) served(l *lane) {
	r.stop()
	r.pass(1)
	r.takeFrom(l)
	r.read()
}

// stop ends the wait.
func (r *reader) stop() {
	if r.reading {
		r.reading = false
		r.part.reading = slices.DeleteFunc(r.part.reading, func(o *reader) bool { return o == r })
	}
}

// look has a reader that waits look again when it would, which matters only when there is something to see or more
// slots are free.
func (r *reader) look() {
	if r.whole() || r.looks {
		return
	}
	r.looks = true
	r.plan(r.ends(r.since), func() {}) // each entry of the agenda has expire called
}
