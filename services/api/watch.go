package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tasklog/tasklog/events"
)

// watches are the live pages that somebody watches, by address. The zero value has none.
type watches struct {
	mu   sync.Mutex
	list map[string]*watch
}

// join returns the page of an address, to be watched until leave.
func (l *watches) join(address string) (w *watch, leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w = l.list[address]; w == nil {
		w = &watch{turn: semaphore.NewWeighted(1)}
		if l.list == nil {
			l.list = map[string]*watch{}
		}
		l.list[address] = w
	}
	w.viewers++
	return w, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if w.viewers--; w.viewers == 0 {
			delete(l.list, address)
		}
	}
}

// watch is a live page. It is read and rendered once for all who watch it: by whoever comes first when it is time.
type watch struct {
	viewers int // guarded by watches.mu

	turn  *semaphore.Weighted // of the one who looks; it guards all that follows
	next  time.Time           // when to look again
	at    time.Time           // when the page was read last
	seen  []events.ID         // by partition: the checkpoint of the views at that time
	parts map[string]string   // by id: what it showed when it could be read last; nil when it never could
	sight *sight              // nil before the first look
}

// see returns what there is to see, and when to ask again. look is called when it is time to look; it leaves a
// sight and sets next.
func (w *watch) see(ctx context.Context, look func(*watch)) (*sight, time.Time, error) {
	if err := w.turn.Acquire(ctx, 1); err != nil {
		return nil, time.Time{}, err
	}
	defer w.turn.Release(1)
	if !time.Now().Before(w.next) {
		look(w)
	}
	return w.sight, w.next, nil
}

// current reports whether the page shows what it would show if it were read while the views are at some checkpoints.
func (w *watch) current(at []events.ID, still bool) bool {
	return w.sight != nil && (still && w.parts != nil || slices.Equal(at, w.seen))
}

// sight is what there was to see when a page was looked at. It does not change.
type sight struct {
	number  int       // of the sights of its page, from 1
	trouble string    // why there is nothing; empty when there is
	at      time.Time // when that was, by our clock
	now     time.Time // and by Redis'

	// all is every part, and changed those that are not as they were in the sight before, as JSON. Both are
	// encoded when the first viewer needs them.
	all, changed func() ([]byte, error)
}

// show makes the next sight of parts.
func (w *watch) show(now time.Time, parts map[string]string) {
	changed := map[string]string{}
	for id, part := range parts {
		if w.parts[id] != part {
			changed[id] = part
		}
	}
	w.parts = parts
	encoded := func(parts map[string]string) func() ([]byte, error) {
		return sync.OnceValues(func() ([]byte, error) { return events.Marshal(parts) })
	}
	w.sight = &sight{number: w.number() + 1, at: time.Now(), now: now, all: encoded(parts), changed: encoded(changed)}
}

// trouble makes the next sight of why there is nothing to see.
func (w *watch) trouble(reason string) { w.sight = &sight{number: w.number() + 1, trouble: reason} }

func (w *watch) number() int {
	if w.sight == nil {
		return 0
	}
	return w.sight.number
}
