package api

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/projections/search"
)

const (
	searchPage     = 1000                   // entries of the log that are read at a time, at the most
	searchPatience = 500 * time.Millisecond // for an index that is being made, or is behind
	maxSearchDays  = 100 * 365              // more cannot be told as a duration
	searchAtOnce   = 2                      // each takes a core for as long as it looks
)

// searcher keeps an index of every partition while somebody searches. It costs nothing before the first search,
// and nothing some minutes after the last.
type searcher struct {
	parts []*indexed
	turns *semaphore.Weighted // of those that look
}

// indexed is the index of one partition.
type indexed struct {
	api         *API
	part        eventlog.Partition
	later, past *eventlog.Pages // of what happens, and of what had happened

	mu    sync.RWMutex
	index *search.Index // nil: nobody searches
	at    events.ID     // up to here it was told what happened
	back  events.ID     // from here on it knows what had happened
	built bool          // it knows all of that, or as much as it can hold
	asked time.Time
	moved chan struct{} // closed at the next move
}

func newSearcher(a *API, reg prometheus.Registerer) *searcher {
	s := &searcher{turns: semaphore.NewWeighted(searchAtOnce)}
	for _, p := range a.log.Partitions() {
		s.parts = append(s.parts, &indexed{api: a, part: p, later: a.log.Pages(searchPage), past: a.log.Pages(searchPage)})
	}
	for name, of := range map[string]struct {
		help string
		n    func(search.Covers) int
	}{
		"search_tasks": {"Tasks that can be searched; 0 while nobody does.", func(c search.Covers) int { return c.Tasks }},
		"search_bytes": {"Memory that the search takes, in bytes.", func(c search.Covers) int { return c.Bytes }},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "tasklog", Subsystem: "api", Name: name, Help: of.help,
		}, func() float64 {
			sum := 0
			for _, p := range s.parts {
				sum += of.n(p.covers().Covers)
			}
			return float64(sum)
		}))
	}
	return s
}

// ask makes sure that there is an index, made from now on if need be. It returns the newest entry of the partition.
func (p *indexed) ask(ctx context.Context) (events.ID, error) {
	last, err := p.api.log.Last(ctx, p.part)
	if err != nil {
		return last, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.api.closing.Err(); err != nil {
		return last, err
	}
	p.asked = time.Now()
	if p.index == nil {
		bytes := p.api.cfg.SearchBytes / len(p.api.searcher.parts)
		p.index = search.New(bytes, time.Duration(min(p.api.cfg.SearchDays, maxSearchDays))*24*time.Hour)
		p.at, p.back, p.built, p.moved = last, last.Next(), false, make(chan struct{})
		p.api.running.Go(p.run)
	}
	return last, nil
}

// await waits until the index knows all that had happened up to an entry, or ctx ends.
func (p *indexed) await(ctx context.Context, last events.ID) {
	for {
		p.mu.RLock()
		ready, moved := p.index == nil || p.built && p.at.Compare(last) >= 0, p.moved
		p.mu.RUnlock()
		if ready {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// run keeps the index until nobody asks any more or the API is closed.
func (p *indexed) run() {
	ctx := p.api.closing
	for failures := 0; p.wanted(ctx); {
		err := p.step(ctx)
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		if failures == 0 {
			p.api.slog.LogAttrs(ctx, slog.LevelWarn, "the search does not get on with the log: trying again",
				slog.Int("partition", p.part.N), slog.Any("error", err))
		}
		pause.Retry(ctx, failures)
		failures++
	}
}

// wanted reports whether to go on; when not, the index is dropped, and the next search makes a new one.
func (p *indexed) wanted(ctx context.Context) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() == nil && time.Since(p.asked) < p.api.cfg.SearchIdle {
		return true
	}
	p.index = nil
	close(p.moved)
	return false
}

// step tells the index what happened since, and what had happened before. While it has still to be made it does
// both in turn, so that the newest tasks are found first and always.
func (p *indexed) step(ctx context.Context) error {
	p.mu.RLock()
	at, back, built := p.at, p.back, p.built
	p.mu.RUnlock()
	if built {
		entries, _, err := p.later.Follow(ctx, p.part, at, eventlog.MaxBlock)
		p.tell(entries)
		return err
	}
	entries, _, err := p.later.Range(ctx, p.part, at, events.MaxID)
	if err != nil {
		return err
	}
	p.tell(entries)
	older, more, err := p.past.RangeBack(ctx, p.part, back)
	if err != nil {
		return err
	}
	p.tellOlder(older, more)
	return nil
}

func (p *indexed) tell(entries []eventlog.Entry) {
	if len(entries) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		if e.Err == nil { // whoever follows the log counts the others
			p.index.Apply(e.Event)
		}
		p.at = e.ID
	}
	p.move()
}

func (p *indexed) tellOlder(entries []eventlog.Entry, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		if e.Err == nil {
			p.index.Before(e.Event)
		}
		p.back = e.ID
	}
	p.built = !more || !p.index.Wants()
	p.move()
}

// move wakes those who wait.
func (p *indexed) move() {
	close(p.moved)
	p.moved = make(chan struct{})
}

// covered is what the index of a partition can answer about.
type covered struct {
	search.Covers
	at    events.ID
	built bool
}

func (p *indexed) covers() covered {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.index == nil {
		return covered{}
	}
	return covered{p.index.Covers(), p.at, p.built}
}

// find returns the next n tasks behind a place that a query chooses, fewer only at the end.
func (s *searcher) find(ctx context.Context, q search.Query, after place, n int) ([]hit, error) {
	if err := s.turns.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer s.turns.Release(1)
	var all []hit
	for _, p := range s.parts {
		all = append(all, p.find(q, after, n)...)
	}
	slices.SortFunc(all, func(a, b hit) int { return a.compare(b.place) })
	return all[:min(n, len(all))], nil
}

func (p *indexed) find(q search.Query, after place, n int) (hits []hit) {
	before := after.at
	if p.part.N > after.part {
		before = before.Next() // of one id, the partitions come in order
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.index == nil {
		return nil
	}
	for f := range p.index.Find(q, before) {
		if hits = append(hits, hit{place{f.At, p.part.N}, f.Task}); len(hits) == n {
			break
		}
	}
	return hits
}

// place is where a task stands in what is found: by its newest event, the newest first.
type place struct {
	at   events.ID
	part int
}

func (a place) compare(b place) int { return cmp.Or(b.at.Compare(a.at), cmp.Compare(a.part, b.part)) }

// hit is a task that was found.
type hit struct {
	place
	task string
}
