package whatif

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
)

// Past is what was recorded: of all partitions, and with what the log does not say estimated from it.
type Past struct {
	Workers  []Worker      // see workers.go
	Dispatch time.Duration // see delays.go
	Pickup   time.Duration // likewise

	from   events.ID
	zero   int64 // ms: the beginning of the window
	parts  []part
	turns  []placed
	lasted map[events.Label]time.Duration // how long an attempt usually takes
}

// part is one partition.
type part struct {
	queues []string // every one that workers look at
	paused map[string]bool
	pauses []pause
}

// placed is a turn of a task of a partition.
type placed struct {
	turn
	*task
	part int
	more bool // the turn that follows is of the same task
}

// Join returns the past that recordings of the partitions of a log tell, with one window, in their order. To
// estimate how long workers take it is simulated a few times.
func Join(recordings ...*Recording) *Past {
	p := &Past{}
	for n, r := range recordings {
		p.from = r.from
		p.add(n, r)
	}
	p.begin(recordings)
	p.lasted = p.typical()
	p.Workers = p.estimateWorkers()
	p.Dispatch = usual(p.dispatches())
	p.Pickup = p.estimatePickup()
	return p
}

// add adds a partition.
func (p *Past) add(n int, r *Recording) {
	queues := maps.Clone(r.queues)
	queues[events.DefaultQueue] = true // workers look there, whether or not it was ever used
	p.parts = append(p.parts, part{queues: slices.Sorted(maps.Keys(queues)), paused: r.paused, pauses: r.pauses})
	tasks := slices.Concat(r.past, slices.Collect(maps.Values(r.tasks)))
	slices.SortFunc(tasks, func(a, b *task) int { return a.place.Compare(b.place) })
	for _, t := range tasks {
		for i, of := range t.turns {
			p.turns = append(p.turns, placed{turn: of, task: t, part: n, more: i+1 < len(t.turns)})
		}
	}
}

// begin finds when the window begins: where it was told to, else with the log.
func (p *Past) begin(recordings []*Recording) {
	if p.zero = p.from.Ms; p.zero > 0 {
		return
	}
	for _, r := range recordings {
		if !r.first.IsZero() && (p.zero == 0 || r.first.Ms < p.zero) {
			p.zero = r.first.Ms
		}
	}
}

// Begin returns when the window begins, in ms since the Unix epoch.
func (p *Past) Begin() int64 { return p.zero }

// Setup returns how things really were.
func (p *Past) Setup() Setup {
	return Setup{Workers: p.Workers, Policy: ByPriority, Speed: 1, Dispatch: p.Dispatch, Pickup: p.Pickup}
}

// at returns a time in ms as one since the beginning of the window.
func (p *Past) at(ms int64) time.Duration { return time.Duration(ms-p.zero) * time.Millisecond }

// atEvent returns when an event happened; Never, when it did not.
func (p *Past) atEvent(id events.ID) time.Duration {
	if id.IsZero() {
		return Never
	}
	return p.at(id.Ms)
}

// before reports whether an event happened before the window.
func (p *Past) before(id events.ID) bool { return !id.IsZero() && id.Compare(p.from) <= 0 }

// leads reports whether a turn is the first one of its task.
func (p *Past) leads(n int) bool { return n == 0 || !p.turns[n-1].more }

// Attempts returns what really happened.
func (p *Past) Attempts() []Attempt {
	list := make([]Attempt, len(p.turns))
	for i := range p.turns {
		t := &p.turns[i]
		list[i] = Attempt{
			Task: t.id, Queue: t.label.Queue, Worker: t.worker, Counts: !t.start.IsZero() && !p.before(t.start),
			Runnable: p.at(t.runnable), Due: p.atEvent(t.due), Start: p.atEvent(t.start), End: p.atEvent(t.end),
		}
	}
	return list
}

// runs returns for how long a turn holds a slot: as it was, or as is usual for its queue and name when the log
// does not tell.
func (p *Past) runs(t *placed) time.Duration {
	switch {
	case t.returned:
		return 0
	case !t.start.IsZero() && !t.end.IsZero():
		return time.Duration(t.end.Ms-t.start.Ms) * time.Millisecond
	}
	if usual, ok := p.lasted[t.label]; ok {
		return usual
	}
	return p.lasted[events.Label{}]
}

// typical returns the median run time for each label, and for the empty one that of all.
func (p *Past) typical() map[events.Label]time.Duration {
	all := map[events.Label][]time.Duration{}
	for i := range p.turns {
		if t := &p.turns[i]; !t.start.IsZero() && !t.end.IsZero() {
			took := time.Duration(t.end.Ms-t.start.Ms) * time.Millisecond
			all[t.label] = append(all[t.label], took)
			all[events.Label{}] = append(all[events.Label{}], took)
		}
	}
	medians := make(map[events.Label]time.Duration, len(all))
	for label, list := range all {
		slices.Sort(list)
		medians[label] = list[len(list)/2]
	}
	return medians
}

// byStart returns the turns that started, in the order in which they did.
func (p *Past) byStart() []*placed {
	var list []*placed
	for i := range p.turns {
		if !p.turns[i].start.IsZero() {
			list = append(list, &p.turns[i])
		}
	}
	slices.SortStableFunc(list, func(a, b *placed) int { return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.part, b.part)) })
	return list
}
