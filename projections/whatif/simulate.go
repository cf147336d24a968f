package whatif

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// maxItems is how many tasks one step of the scheduler makes due, and one read of a worker takes, at the most: that of
// infra/eventlog.
const maxItems = 200

// Simulate returns what would have happened under a setup, attempt by attempt in the order of Attempts.
func (p *Past) Simulate(setup Setup) []Attempt {
	s := newSimulation(p, setup)
	s.begin()
	for len(s.agenda) > 0 {
		e := heap.Pop(&s.agenda).(entry)
		s.now = e.at
		e.do()
	}
	return s.out
}

// simulation is one run.
type simulation struct {
	Setup
	past   *Past
	now    time.Duration // since the beginning of the window
	agenda agenda
	seq    int
	parts  []*partition
	hands  []*hands
	jobs   []job     // in the order of past.turns
	out    []Attempt // likewise
}

// entry is something that happens at a time; of two at one time the one that was planned first goes first.
type entry struct {
	at  time.Duration
	seq int
	do  func()
}

type agenda []entry

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(a[i].at, a[j].at), cmp.Compare(a[i].seq, a[j].seq)) < 0
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(v any)   { *a = append(*a, v.(entry)) }
func (a *agenda) Pop() any {
	last := len(*a) - 1
	e := (*a)[last]
	(*a)[last] = entry{} // let go of what it holds
	*a = (*a)[:last]
	return e
}

// plan puts something on the agenda; what should have happened already happens now.
func (s *simulation) plan(at time.Duration, do func()) {
	if at == Never {
		return
	}
	s.seq++
	heap.Push(&s.agenda, entry{max(at, s.now), s.seq, do})
}

func newSimulation(p *Past, setup Setup) *simulation {
	s := &simulation{Setup: setup, past: p, out: p.Attempts(), jobs: make([]job, len(p.turns))}
	for n := range p.parts {
		s.parts = append(s.parts, newPartition(s, &p.parts[n]))
	}
	for _, w := range setup.Workers {
		s.hands = append(s.hands, newHands(s, w))
	}
	for i := range p.turns {
		t := &p.turns[i]
		s.jobs[i] = job{placed: t, n: i, lane: s.parts[t.part].byName[t.label.Queue], run: s.faster(p.runs(t))}
		s.out[i].Due, s.out[i].Start, s.out[i].End, s.out[i].Worker = Never, Never, Never, ""
		if !p.leads(i) {
			s.out[i].Runnable = Never
		}
	}
	return s
}

// faster returns how long something takes at the speed of the setup.
func (s *simulation) faster(d time.Duration) time.Duration {
	return time.Duration(float64(d) / s.Speed)
}

// begin makes everything as it was when the window began, and plans what comes from outside.
func (s *simulation) begin() {
	var running, due []*job
	s.plan(0, func() { s.resume(running, due) })
	for _, h := range s.hands {
		if h.From > 0 {
			s.plan(h.From, func() { h.come(); h.read() })
		}
		s.plan(h.Until, h.leave)
	}
	for i := range s.jobs {
		j := &s.jobs[i]
		switch {
		case !s.past.leads(i): // it comes when the turn before is over
		case s.past.before(j.start):
			running = append(running, j)
		case s.past.before(j.due):
			due = append(due, j)
		default:
			s.plan(s.out[i].Runnable, func() { s.wait(j) })
		}
		if j.cancelled {
			s.plan(s.past.at(j.end.Ms), func() { s.cancel(j) })
		}
	}
	slices.SortStableFunc(running, func(a, b *job) int { return a.start.Compare(b.start) })
	slices.SortStableFunc(due, func(a, b *job) int { return a.due.Compare(b.due) })
	for n, p := range s.past.parts {
		for _, event := range p.pauses {
			s.plan(s.past.at(event.at), func() { s.parts[n].pause(event.queue, event.on) })
		}
	}
}

// resume goes on with what ran and what was due when the window began. What finds no slot goes first.
func (s *simulation) resume(running, due []*job) {
	for _, h := range s.hands {
		if h.From <= 0 {
			h.come()
		}
	}
	for _, j := range running {
		took := time.Duration(s.past.zero-j.start.Ms) * time.Millisecond
		j.run = max(0, j.run-s.faster(took))
		if h := s.holder(j.worker); h != nil {
			h.readers[j.part].hold(j)
			s.out[j.n].Start = s.past.at(j.start.Ms)
		} else {
			j.lane.dispatch(j)
		}
	}
	for _, j := range due {
		j.lane.dispatch(j)
	}
	for _, h := range s.hands {
		if h.there {
			h.read()
		}
	}
}

// holder returns who goes on with what a worker ran: that one, else whoever has the most free slots; nil when nobody has any.
func (s *simulation) holder(worker string) *hands {
	var best *hands
	for _, h := range s.hands {
		switch {
		case !h.there || h.running >= h.Slots:
		case h.ID == worker:
			return h
		case best == nil || h.Slots-h.running > best.Slots-best.running:
			best = h
		}
	}
	return best
}
