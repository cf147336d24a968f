package whatif

import (
	"cmp"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
)

// job is a turn of the past that is simulated.
type job struct {
	*placed
	n      int // its place among all
	lane   *lane
	run    time.Duration // for so long it will hold a slot
	key    key
	state  state
	reader *reader // that took it
}

// state is where a job stands.
type state int

const (
	later   state = iota // not yet runnable
	waiting              // for its turn in the queue
	due                  // handed to the workers
	taken                // by a worker, which has not started it yet
	active
	over
)

// key orders what waits in a queue.
type key struct {
	first int64
	place events.ID
	n     int
}

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.first, o.first), k.place.Compare(o.place), cmp.Compare(k.n, o.n))
}

// wait makes a job runnable.
func (s *simulation) wait(j *job) {
	if j.state != later {
		return // cancelled
	}
	j.state = waiting
	j.key = key{int64(j.priority), j.place, j.n}
	if s.Policy == FIFO {
		j.key.first = int64(s.out[j.n].Runnable)
	}
	j.lane.push(j)
}

// start starts a job in the slot that it has.
func (s *simulation) start(j *job) {
	j.lane.entries--
	j.lane.part.arm()
	if j.state == over {
		j.reader.release()
		return
	}
	j.state = active
	if !j.returned {
		s.out[j.n].Start = s.now
	}
	s.plan(s.now+j.run, func() { s.finish(j) })
}

// finish ends a job that runs, unless it was cancelled.
func (s *simulation) finish(j *job) {
	if j.state == active {
		s.end(j)
		j.reader.release()
	}
}

// cancel ends a job that in reality was cancelled before it ran.
func (s *simulation) cancel(j *job) {
	switch j.state {
	case active:
		s.finish(j)
	case due:
		j.lane.entries--
		j.lane.due = slices.DeleteFunc(j.lane.due, func(o *job) bool { return o == j })
		s.end(j)
	case later, waiting, taken:
		s.end(j)
	case over:
	}
}

// end makes a job one that is over, and plans the next turn of its task: as long after this one as it really was,
// or when a person asked for it.
func (s *simulation) end(j *job) {
	j.state = over
	s.out[j.n].End = s.now
	if !j.more {
		return
	}
	next := &s.jobs[j.n+1]
	if next.state == over {
		return // cancelled meanwhile
	}
	at := s.now + time.Duration(next.runnable-j.end.Ms)*time.Millisecond
	if next.asked {
		at = max(s.now, s.past.at(next.runnable))
	}
	s.out[next.n].Runnable = at
	s.plan(at, func() { s.wait(next) })
}
