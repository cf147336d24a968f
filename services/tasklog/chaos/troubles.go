package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/tasklog/tasklog/infra/pause"
)

// troubles are the times at which a worker could not hold its leases: it was dead, it stood still, or it
// could not reach Redis. That Redis stood still or was away is none: leases are to outlive that.
type troubles struct {
	mu    sync.Mutex
	times []trouble
	ended map[string]time.Time // workers that are no more
}

// trouble befell a process, or all where it names none. A worker has the name of its process, a full stop
// and the number of the start.
type trouble struct {
	process  string
	from, to time.Time
}

// during notes that a process, or all for "", has trouble until the function that it returns is called.
func (t *troubles) during(process string) (over func()) {
	from := time.Now()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.times = append(t.times, trouble{process, from, time.Now()})
	}
}

// end notes that a worker is no more.
func (t *troubles) end(worker string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == nil {
		t.ended = map[string]time.Time{}
	}
	t.ended[worker] = time.Now()
}

// watch notes the times at which this machine was too busy to let us run in time, until ctx ends: then
// the services may not have run in time either.
func (t *troubles) watch(ctx context.Context) {
	const every, late = 50 * time.Millisecond, 500 * time.Millisecond
	for over := t.during(""); ctx.Err() == nil; over = t.during("") {
		before := time.Now()
		pause.For(ctx, every)
		if time.Since(before) > late {
			over()
		}
	}
}

// explain reports whether a worker had any trouble for which its lease may have ended by some time.
func (t *troubles) explain(worker string, by time.Time, ttl time.Duration) bool {
	process, _, _ := strings.Cut(worker, ".")
	t.mu.Lock()
	defer t.mu.Unlock()
	if ended, ok := t.ended[worker]; ok && ended.Before(by) {
		return true
	}
	for _, x := range t.times {
		if (x.process == "" || x.process == process) && x.from.Before(by) && x.to.After(by.Add(-ttl*3/2)) {
			return true
		}
	}
	return false
}
