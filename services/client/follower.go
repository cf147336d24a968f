package client

import (
	"context"
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// follower reads one partition of the log while somebody waits for a task of it, and tells them to
// look at their task again. The task's row is the truth; the log only says when to look.
type follower struct {
	ctx     context.Context //nolint:containedctx // the client's life: a reader serves many waits
	log     *eventlog.Log
	part    eventlog.Partition
	running *sync.WaitGroup

	mu      sync.Mutex
	reading bool
	waits   map[string]map[chan struct{}]bool // by task
}

const (
	followBatch = 1000
	followPause = 250 * time.Millisecond // after an error
)

// join makes look ready whenever the task may have ended after the call of join. A look at the task
// that begins after join has returned therefore misses nothing: the reader's position lies before it.
func (f *follower) join(ctx context.Context, task string) (look <-chan struct{}, leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return nil, nil, ErrClosed
	}
	if !f.reading {
		from, err := f.log.Last(ctx, f.part)
		if err != nil {
			return nil, nil, err
		}
		f.reading = true
		f.running.Go(func() { f.read(from) })
	}
	ch := make(chan struct{}, 1)
	if f.waits == nil {
		f.waits = make(map[string]map[chan struct{}]bool)
	}
	if f.waits[task] == nil {
		f.waits[task] = make(map[chan struct{}]bool)
	}
	f.waits[task][ch] = true
	return ch, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.waits[task], ch)
		if len(f.waits[task]) == 0 {
			delete(f.waits, task)
		}
	}, nil
}

// read follows the partition until nobody waits any more or the client is closed.
func (f *follower) read(from events.ID) {
	everybody := func(string) bool { return true }
	away := false
	for f.wanted() {
		entries, err := f.log.Follow(f.ctx, f.part, from, followBatch, eventlog.MaxBlock)
		if err != nil {
			away = true
			select {
			case <-time.After(followPause):
			case <-f.ctx.Done():
			}
			continue
		}
		if away { // what was read before may be lost, and a look may have failed
			away = false
			f.tell(everybody)
		}
		ended := make(map[string]bool)
		for _, e := range entries {
			from = e.ID
			if e.Err == nil && events.Next(e.Data).Final() {
				ended[e.Task] = true
			}
		}
		f.tell(func(task string) bool { return ended[task] })
	}
}

// wanted reports whether to read on; when not, the next join starts a new reader.
func (f *follower) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = len(f.waits) > 0 && f.ctx.Err() == nil
	return f.reading
}

// tell wakes the waits for the chosen tasks.
func (f *follower) tell(chosen func(task string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for task, waits := range f.waits {
		if !chosen(task) {
			continue
		}
		for ch := range waits {
			select {
			case ch <- struct{}{}:
			default: // it will look anyway
			}
		}
	}
}
