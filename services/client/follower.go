package client

import (
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// follower reads one partition of the log while somebody waits for a task of it, and tells them to
// look at their task again. The task's row is the truth; the log only says when to look.
type follower struct {
	client *Client
	part   eventlog.Partition

	mu      sync.Mutex
	reading bool
	waits   map[string]map[chan struct{}]bool // by task
}

const (
	followBatch = 1000
	followPause = 250 * time.Millisecond // after an error
)

// join makes look ready whenever the task may have ended after the call of join: a look at the task
// that begins after join has returned misses nothing, for the reader tells of what it reads, and tells
// everybody once it knows from where on it reads.
func (f *follower) join(task string) (look <-chan struct{}, leave func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.reading {
		if err := f.client.start(f.read); err != nil {
			return nil, nil, err
		}
		f.reading = true
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
func (f *follower) read() {
	everybody := func(string) bool { return true }
	pages := f.client.log.Pages(followBatch)
	var from *events.ID // nil until Redis has said where the log ends
	missed := true      // what came before from; what was lost while Redis was away, or a look that failed
	for f.wanted() {
		entries, err := f.next(pages, &from)
		if err != nil {
			missed = true
			select {
			case <-time.After(followPause):
			case <-f.client.life.Done():
			}
			continue
		}
		if missed {
			missed = false
			f.tell(everybody)
		}
		ended := make(map[string]bool)
		for _, e := range entries {
			if e.Err == nil && events.Next(e.Data).Final() {
				ended[e.Task] = true
			}
		}
		f.tell(func(task string) bool { return ended[task] })
	}
}

// next returns what comes after from and moves it there; at first it only finds the end of the log.
func (f *follower) next(pages *eventlog.Pages, from **events.ID) ([]eventlog.Entry, error) {
	if *from == nil {
		end, err := f.client.log.Last(f.client.life, f.part)
		if err == nil {
			*from = &end
		}
		return nil, err
	}
	entries, _, err := pages.Follow(f.client.life, f.part, **from, eventlog.MaxBlock)
	if n := len(entries); n > 0 {
		*from = &entries[n-1].ID
	}
	return entries, err
}

// wanted reports whether to read on; when not, the next join starts a new reader.
func (f *follower) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = len(f.waits) > 0 && f.client.life.Err() == nil
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
