package whatif

import (
	"cmp"
	"slices"
	"time"
)

// Figures sum attempts up. What is per time is so from the first moment at which something could run, or the
// beginning of the window, to the end of the last attempt.
type Figures struct {
	Waits     []time.Duration // of the attempts that count and started, from the shortest to the longest
	Unstarted int             // attempts that count and did not
	Span      time.Duration   // of what is per time
	LastEnd   time.Duration   // since the beginning of the window
	Ended     int             // attempts that ran to their end

	Throughput  float64 // attempts that ended, per second
	Busy        float64 // slots that were held, on average
	Utilization float64 // of the slots that there were: 0 … 1
	MeanBacklog float64 // attempts that could run and did not
	MaxBacklog  int
}

// Wait returns the wait that a share of the attempts did not exceed, such as 0.95; 0 when none started.
func (f Figures) Wait(share float64) time.Duration {
	if len(f.Waits) == 0 {
		return 0
	}
	return f.Waits[min(int(share*float64(len(f.Waits))), len(f.Waits)-1)]
}

// Sum sums up attempts under some workers.
func Sum(list []Attempt, workers []Worker) Figures {
	var f Figures
	begin := Never
	for _, a := range list {
		if a.Counts && a.Start != Never {
			f.Waits = append(f.Waits, a.Start-a.Runnable)
		} else if a.Counts {
			f.Unstarted++
		}
		if a.Runnable != Never {
			begin = min(begin, max(0, a.Runnable))
		}
		if a.Start != Never && a.End != Never {
			f.Ended++
			f.LastEnd = max(f.LastEnd, a.End)
		}
	}
	slices.Sort(f.Waits)
	if f.Span = f.LastEnd - begin; begin == Never || f.Span <= 0 {
		f.Span = 0
		return f
	}
	var held, had time.Duration
	for _, a := range list {
		if a.Start != Never {
			held += overlap(a.Start, a.End, begin, f.LastEnd)
		}
	}
	for _, w := range workers {
		had += time.Duration(w.Slots) * overlap(w.From, w.Until, begin, f.LastEnd)
	}
	f.Throughput = float64(f.Ended) / f.Span.Seconds()
	f.Busy = float64(held) / float64(f.Span)
	f.Utilization = float64(held) / float64(max(1, had))
	for _, s := range backlog(list) {
		f.MaxBacklog = max(f.MaxBacklog, s.n)
	}
	f.MeanBacklog = Backlog(list, begin, f.LastEnd, 1)[0]
	return f
}

// overlap returns how much of from … to lies in begin … end.
func overlap(from, to, begin, end time.Duration) time.Duration {
	return max(0, min(to, end)-max(from, begin))
}

// step is a change of the backlog: from a time on it is n.
type step struct {
	at time.Duration
	n  int
}

// backlog returns every change of it, in order.
func backlog(list []Attempt) []step {
	var steps []step
	for _, a := range list {
		if a.Runnable == Never {
			continue
		}
		steps = append(steps, step{max(0, a.Runnable), 1})
		if gone := min(a.Start, a.End); gone != Never {
			steps = append(steps, step{max(0, a.Runnable, gone), -1}) // some are cancelled before they can run
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
	n := 0
	merged := steps[:0]
	for i, s := range steps {
		n += s.n
		if i+1 == len(steps) || steps[i+1].at != s.at {
			merged = append(merged, step{s.at, n})
		}
	}
	return merged
}

// Backlog returns how many attempts could run and did not, on average in each of n equal parts of a time.
func Backlog(list []Attempt, from, to time.Duration, n int) []float64 {
	means := make([]float64, n)
	width := float64(to-from) / float64(n)
	if width <= 0 {
		return means
	}
	steps := backlog(list)
	for i, s := range steps {
		until := to
		if i+1 < len(steps) {
			until = min(to, steps[i+1].at)
		}
		begin := max(from, s.at)
		for begin < until { // in each part that it reaches into
			part := min(int(float64(begin-from)/width), n-1)
			end := min(until, from+time.Duration(float64(part+1)*width))
			if part == n-1 || end <= begin {
				end = until
			}
			means[part] += float64(s.n) * float64(end-begin) / width
			begin = end
		}
	}
	return means
}

// ByQueue returns the attempts of each queue.
func ByQueue(list []Attempt) map[string][]Attempt {
	queues := map[string][]Attempt{}
	for _, a := range list {
		queues[a.Queue] = append(queues[a.Queue], a)
	}
	return queues
}
