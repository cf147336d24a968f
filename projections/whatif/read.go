package whatif

import "slices"

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
	turn   int     // which lane comes first, when not all can have a slot

	reading bool // it waits for something to be due
	free    int  // how many it looks for then
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
	}
}

// each returns how many jobs it takes from each of them: COUNT is a limit for each stream.
func (r *reader) each() int { return max(1, r.free/len(r.lanes)) }

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
		first := 0
		if r.free < len(r.lanes) {
			first = r.turn
		}
		for i := range r.lanes {
			if n := (first + i) % len(r.lanes); r.takeFrom(r.lanes[n]) {
				took, r.turn = true, n+1
			}
		}
	}
	r.reading = true
	r.part.reading = append(r.part.reading, r)
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

// served ends the wait: something became due in a lane.
func (r *reader) served(l *lane) {
	r.stop()
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
