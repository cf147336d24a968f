package whatif

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// usual returns the mean of durations in ms, but for those that are so much longer than the shortest tenth that
// something else was the matter: the queue was paused, or nobody served it. Without any it is 1 ms.
func usual(list []int64) time.Duration {
	if len(list) == 0 {
		return time.Millisecond
	}
	slices.Sort(list)
	longest := list[len(list)/10] + 10
	var sum, n int64
	for _, d := range list {
		if d <= longest {
			sum, n = sum+d, n+1
		}
	}
	return time.Duration(sum) * time.Millisecond / time.Duration(n)
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

// The search for how long workers take: so long at the most, and by so many simulations once it is known to lie
// between two times; a mean wait that is this share of the real one away is near enough.
const (
	longestPickup = 200 * time.Millisecond
	searches      = 8
	nearEnough    = 0.005
)

// estimatePickup returns how long workers take to start what is due when they have a slot. The log shows that only
// together with the time for which they looked at other queues; so it is the time with which the simulation of what was
// has the mean wait that there really was. The longer they take the longer all wait: it is found by bisection.
func (p *Past) estimatePickup() time.Duration {
	want, setup := meanWait(p.Attempts()), p.Setup()
	if want == 0 {
		return 0
	}
	// off returns by which share of the real wait those wait longer who are simulated.
	off := func(pickup time.Duration) float64 {
		setup.Pickup = pickup
		return meanWait(p.Simulate(setup))/want - 1
	}
	if off(0) > -nearEnough {
		return 0
	}
	low, high := time.Duration(0), time.Millisecond
	for off(high) < 0 {
		if high > longestPickup {
			return longestPickup
		}
		low, high = high, 4*high
	}
	for range searches {
		middle := (low + high) / 2
		switch now := off(middle); {
		case math.Abs(now) < nearEnough:
			return middle
		case now < 0:
			low = middle
		default:
			high = middle
		}
	}
	return (low + high) / 2
}

// meanWait returns how long those attempts waited that count and started, on average, in ns.
func meanWait(list []Attempt) float64 {
	var sum, n float64
	for _, a := range list {
		if a.Counts && a.Start != Never {
			sum, n = sum+float64(a.Start-a.Runnable), n+1
		}
	}
	return sum / max(1, n)
}
