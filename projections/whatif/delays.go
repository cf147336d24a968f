package whatif

import (
	"cmp"
	"slices"
	"time"
)

// estimateDelays returns how long it took the scheduler to make due what nothing stood before, and a worker to
// start what was due when it had a slot.
func (p *Past) estimateDelays() (dispatch, pickup time.Duration) {
	return usual(p.dispatches()), usual(p.pickups())
}

// usual returns the mean of durations in ms, but for those that are so much longer than the shortest tenth that
// something else was the matter: a worker looked at other queues, or something stood still. Without any it is 1 ms.
func usual(list []int64) time.Duration {
	if len(list) == 0 {
		return time.Millisecond
	}
	slices.Sort(list)
	short := list[len(list)/10]
	if short >= sharedWait.Milliseconds()/2 { // hardly any were not held up
		short = list[0]
	}
	var sum, n int64
	for _, d := range list {
		if d <= short+10 {
			sum, n = sum+d, n+1
		}
	}
	return time.Duration(sum) * time.Millisecond / time.Duration(n)
}

// pickups returns for every start how long before it the attempt was due and its worker had a slot.
func (p *Past) pickups() (list []int64) {
	marks := p.marks(p.byStart())
	all, running, freed := p.see(marks), map[string]int{}, map[string]int64{}
	for _, m := range marks {
		if !m.begin {
			if running[m.worker] == all[m.worker].slots {
				freed[m.worker] = m.at.Ms
			}
			running[m.worker]--
			continue
		}
		running[m.worker]++
		if m.due.IsZero() {
			continue
		}
		ready := m.due.Ms
		if running[m.worker] == all[m.worker].slots {
			ready = max(ready, freed[m.worker])
		}
		list = append(list, max(0, m.at.Ms-ready))
	}
	return list
}

// dispatches returns how long those turns waited until they were due before which nothing else of their queue did.
func (p *Past) dispatches() (list []int64) {
	type lane struct {
		part  int
		queue string
	}
	type step struct {
		at   int64 // ms
		come bool
		*placed
	}
	steps := map[lane][]step{}
	for i := range p.turns {
		if t := &p.turns[i]; !t.due.IsZero() {
			l := lane{t.part, t.label.Queue}
			steps[l] = append(steps[l], step{t.runnable, true, t}, step{t.due.Ms, false, t})
		}
	}
	for _, line := range steps {
		slices.SortStableFunc(line, func(a, b step) int { return cmp.Compare(a.at, b.at) })
		waiting := 0
		for _, s := range line {
			switch {
			case !s.come:
				waiting--
			case waiting > 0:
				waiting++
			default:
				waiting++
				if s.runnable >= p.zero {
					list = append(list, max(0, s.due.Ms-s.runnable))
				}
			}
		}
	}
	return list
}
