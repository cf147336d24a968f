package whatif

import "container/heap"

// partition has what services/scheduler sees of one: its queues.
type partition struct {
	*simulation
	lanes   []*lane // by name
	byName  map[string]*lane
	reading []*reader // that wait for what becomes due, in the order in which they began: so Redis serves them
	armed   bool      // a step is planned
}

// lane is a queue in a partition.
type lane struct {
	part    *partition
	place   int // among the lanes
	paused  bool
	waiting line
	due     []*job // handed to the workers
	entries int    // of the dispatch stream: what is due, or taken and not started
	credit  int    // what its workers can run at once
}

// line is what waits in a queue, the best first; of a job that was cancelled there, a hole.
type line []*job

func (l line) Len() int           { return len(l) }
func (l line) Less(i, j int) bool { return l[i].key.compare(l[j].key) < 0 }
func (l line) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *line) Push(v any)        { *l = append(*l, v.(*job)) }
func (l *line) Pop() any {
	last := len(*l) - 1
	j := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return j
}

func newPartition(s *simulation, of *part) *partition {
	p := &partition{simulation: s, byName: make(map[string]*lane, len(of.queues))}
	for i, queue := range of.queues {
		l := &lane{part: p, place: i, paused: of.paused[queue]}
		p.lanes = append(p.lanes, l)
		p.byName[queue] = l
	}
	return p
}

// push adds a job to those that wait.
func (l *lane) push(j *job) {
	heap.Push(&l.waiting, j)
	l.part.arm()
}

// pause pauses a queue or resumes it. What is due already is not called back.
func (p *partition) pause(queue string, on bool) {
	if l := p.byName[queue]; l != nil {
		l.paused = on
		p.arm()
	}
}

// arm makes the scheduler take a step soon.
func (p *partition) arm() {
	if !p.armed {
		p.armed = true
		p.plan(p.now+p.Dispatch, p.step)
	}
}

// step makes due in every queue what fits: as the dispatcher of services/scheduler, which leaves a stream alone that
// is three quarters full.
func (p *partition) step() {
	p.armed = false
	for _, l := range p.lanes {
		for !l.paused && len(l.waiting) > 0 && l.credit-l.entries >= max(1, l.credit/4) {
			for room := min(l.credit-l.entries, maxItems); room > 0 && len(l.waiting) > 0; {
				if j := heap.Pop(&l.waiting).(*job); j.state == waiting {
					l.dispatch(j)
					room--
				}
			}
			l.serve()
		}
	}
}

// dispatch makes a job due.
func (l *lane) dispatch(j *job) {
	j.state = due
	l.due = append(l.due, j)
	l.entries++
	l.part.out[j.n].Due = l.part.now
}

// take returns the job that has been due for the longest, nil when there is none.
func (l *lane) take() *job {
	if len(l.due) == 0 {
		return nil
	}
	j := l.due[0]
	l.due = l.due[1:]
	j.state = taken
	return j
}

// serve hands what is due to those that wait for it.
func (l *lane) serve() {
	for len(l.due) > 0 {
		r := l.reader()
		if r == nil {
			return
		}
		r.served(l)
	}
}

// reader returns the one that has waited for the longest for what is due in the queue.
func (l *lane) reader() *reader {
	for _, r := range l.part.reading {
		if r.serves[l.place] {
			return r
		}
	}
	return nil
}
