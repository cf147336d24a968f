package audit

import (
	"cmp"
	"container/heap"

	"github.com/tasklog/tasklog/events"
)

// Overtaken counts tasks that became due while one with a better place in their queue, a lower priority
// or an earlier request, had waited for a second. It is no violation: the log does not tell what a scheduler
// could see.
type Overtaken struct {
	Count int64 `json:"count"`
	MaxMs int64 `json:"maxMs"` // for how long a task had waited at the most
}

// patience is for how long a task must have waited to count as overtaken, ms.
const patience = 1000

// line is the waiting tasks of a queue, a heap. Some of them wait no longer.
type line []waiter

type waiter struct {
	task      string
	priority  int
	requested events.ID
	since     events.ID // entry with which it began to wait
}

func (w waiter) compare(o waiter) int {
	return cmp.Or(cmp.Compare(w.priority, o.priority), w.requested.Compare(o.requested))
}

// Len implements heap.Interface.
func (l line) Len() int { return len(l) }

// Less implements heap.Interface.
func (l line) Less(i, j int) bool { return l[i].compare(l[j]) < 0 }

// Swap implements heap.Interface.
func (l line) Swap(i, j int) { l[i], l[j] = l[j], l[i] }

// Push implements heap.Interface.
func (l *line) Push(w any) { *l = append(*l, w.(waiter)) }

// Pop implements heap.Interface.
func (l *line) Pop() any {
	last := len(*l) - 1
	w := (*l)[last]
	*l = (*l)[:last]
	return w
}

// waits reports whether a task still waits as it did when it stood in line.
func (a *Audit) waits(w waiter) bool {
	t := a.live[w.task]
	return t != nil && t.State == events.StateWaiting && t.last() == w.since
}

// stand puts a task that begins to wait into line.
func (a *Audit) stand(t *task) {
	if t.believed {
		return // its place is unknown
	}
	l := a.lines[t.Queue]
	if l == nil {
		l = new(line)
		a.lines[t.Queue] = l
	}
	if len(*l) > 1000 && len(*l) > 4*len(a.live) { // most of them left from behind the first
		kept := (*l)[:0]
		for _, w := range *l {
			if a.waits(w) {
				kept = append(kept, w)
			}
		}
		clear((*l)[len(kept):])
		*l = kept
		heap.Init(l)
	}
	heap.Push(l, waiter{t.ID, t.Priority, t.requested, t.last()})
}

// overtakes looks whether a task that becomes due passes one that has waited for long.
func (a *Audit) overtakes(t *task, e events.Event) {
	l := a.lines[t.Queue]
	if l == nil || t.believed {
		return
	}
	for len(*l) > 0 && !a.waits((*l)[0]) {
		heap.Pop(l)
	}
	if len(*l) == 0 || (*l)[0].compare(waiter{priority: t.Priority, requested: t.requested}) >= 0 {
		return
	}
	if waited := e.ID.Ms - (*l)[0].since.Ms; waited > patience {
		a.report.Overtaken.Count++
		a.report.Overtaken.MaxMs = max(a.report.Overtaken.MaxMs, waited)
	}
}
