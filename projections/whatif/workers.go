package whatif

import (
	"maps"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
)

// evident is how many attempts a worker must have let pass, by its share of all, before we take it that it could
// not have them: that it was not there, or does not serve their queue.
const evident = 5

// seen is what the log shows of a worker.
type seen struct {
	slots       int
	first, last time.Duration  // that it was there for certain
	starts      map[string]int // by queue
	total       int
}

// estimateWorkers finds out who worked, for the log does not say: a worker is whoever started an attempt; it has
// as many slots as it ever had attempts running at once. It was there from the beginning and stayed, and serves
// every queue, unless evident attempts say otherwise.
func (p *Past) estimateWorkers() []Worker {
	starts := p.byStart()
	all := p.see(p.marks(starts))
	times := map[string][]time.Duration{} // of the starts, by queue
	var every []time.Duration
	for _, t := range starts {
		at := p.at(t.start.Ms)
		every, times[t.label.Queue] = append(every, at), append(times[t.label.Queue], at)
	}
	var list []Worker
	for _, id := range slices.Sorted(maps.Keys(all)) {
		w := all[id]
		before, within, after := around(every, w.first, w.last)
		share := float64(w.total) / float64(within)
		out := Worker{ID: id, Slots: w.slots, Until: Never}
		if share*float64(before) >= evident {
			out.From = w.first
		}
		if share*float64(after) >= evident {
			out.Until = w.last
		}
		for queue, list := range times {
			if _, n, _ := around(list, w.first, w.last); w.starts[queue] == 0 && share*float64(n) >= evident {
				out.Queues = slices.Sorted(maps.Keys(w.starts))
			}
		}
		list = append(list, out)
	}
	return list
}

// around counts the times of a sorted list that lie before first, up to last, and after it.
func around(times []time.Duration, first, last time.Duration) (before, within, after int) {
	before, _ = slices.BinarySearch(times, first)
	end, _ := slices.BinarySearch(times, last+1)
	return before, end - before, len(times) - end
}

// mark is where a worker begins or ends an attempt.
type mark struct {
	at    events.ID
	begin bool
	*placed
}

// marks returns those of some turns that started, in order.
func (p *Past) marks(starts []*placed) []mark {
	var marks []mark
	for _, t := range starts {
		marks = append(marks, mark{t.start, true, t})
		if !t.end.IsZero() {
			marks = append(marks, mark{t.end, false, t})
		}
	}
	slices.SortStableFunc(marks, func(a, b mark) int {
		if len(p.parts) == 1 || a.at.Ms != b.at.Ms {
			return a.at.Compare(b.at)
		}
		// Ids do not order what happens in two partitions: what ends goes first, for it makes room.
		switch {
		case a.begin == b.begin:
			return 0
		case a.begin:
			return 1
		}
		return -1
	})
	return marks
}

// see gathers what the log shows of every worker.
func (p *Past) see(marks []mark) map[string]*seen {
	all, running := map[string]*seen{}, map[string]int{}
	for _, m := range marks {
		at := p.at(m.at.Ms)
		w := all[m.worker]
		if w == nil {
			w = &seen{slots: 1, first: at, starts: map[string]int{}}
			all[m.worker] = w
		}
		w.last = at
		if !m.begin {
			running[m.worker]--
			continue
		}
		running[m.worker]++
		w.slots = max(w.slots, running[m.worker])
		w.starts[m.label.Queue]++
		w.total++
	}
	return all
}
