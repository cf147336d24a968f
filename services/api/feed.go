package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const (
	feedBatch = 100                    // entries a read, at the most
	feedBytes = 1 << 20                // of the entries of a read, about
	feedPause = 250 * time.Millisecond // after an error
	backlog   = 32                     // batches that a subscriber may lag behind
)

// frame is one entry of the log as event streams send it, made once for all of them.
type frame struct {
	part  int
	id    events.ID
	event events.Event // without Data for an entry that is no event
	json  []byte
}

// subscriber is an event stream that waits for frames.
type subscriber struct {
	batches chan []frame
	slow    chan struct{} // closed when the subscriber is dropped
	once    sync.Once
}

func newSubscriber() *subscriber {
	return &subscriber{batches: make(chan []frame, backlog), slow: make(chan struct{})}
}

// feed reads one partition of the log while somebody listens, once for all who do.
type feed struct {
	api  *API
	part eventlog.Partition

	mu      sync.Mutex
	reading bool
	at      events.ID // Invariant: every subscriber got, or will get by itself, all up to here
	subs    map[*subscriber]bool
}

// join makes s get every entry after the id that it returns, until leave.
func (f *feed) join(ctx context.Context, s *subscriber) (events.ID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.api.closing.Err(); err != nil {
		return events.ID{}, err
	}
	if !f.reading {
		at, err := f.api.log.Last(ctx, f.part)
		if err != nil {
			return events.ID{}, err
		}
		f.at, f.reading = at, true
		f.api.running.Go(f.read)
	}
	if f.subs == nil {
		f.subs = make(map[*subscriber]bool)
	}
	f.subs[s] = true
	return f.at, nil
}

func (f *feed) leave(s *subscriber) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.subs, s)
}

// read follows the partition until nobody listens any more or the API is closed.
func (f *feed) read() {
	ctx := f.api.closing
	pages := f.api.log.Pages(feedBatch)
	pages.Bytes = feedBytes
	away := false
	for {
		at, wanted := f.wanted()
		if !wanted {
			return
		}
		entries, _, err := pages.Follow(ctx, f.part, at, eventlog.MaxBlock)
		if err != nil {
			if !away && ctx.Err() == nil {
				f.api.slog.LogAttrs(ctx, slog.LevelWarn, "event streams wait for redis",
					slog.Int("partition", f.part.N), slog.Any("error", err))
			}
			away = true
			select {
			case <-time.After(feedPause):
			case <-ctx.Done():
			}
			continue
		}
		away = false
		if len(entries) > 0 {
			f.deliver(f.api.frames(ctx, f.part.N, entries))
		}
	}
}

// wanted reports where to read on, if at all; when not, the next join starts a new reader.
func (f *feed) wanted() (events.ID, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading = len(f.subs) > 0 && f.api.closing.Err() == nil
	return f.at, f.reading
}

// deliver hands a batch to every subscriber, and drops those that are too far behind: they come
// back and resume at their own pace.
func (f *feed) deliver(batch []frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = batch[len(batch)-1].id
	for s := range f.subs {
		select {
		case s.batches <- batch:
		default:
			delete(f.subs, s)
			f.api.drop(s)
		}
	}
}

// drop ends a subscriber that is too slow, once.
func (a *API) drop(s *subscriber) {
	s.once.Do(func() {
		a.metrics.dropped.Inc()
		close(s.slow)
	})
}

// frames encodes entries for event streams. Those that are no event are counted and logged, and
// stay as a position without a body.
func (a *API) frames(ctx context.Context, part int, entries []eventlog.Entry) []frame {
	out := make([]frame, 0, len(entries))
	for _, e := range entries {
		fr := frame{part: part, id: e.ID}
		err := e.Err
		if err == nil {
			fr.event = e.Event
			fr.json, err = encodeEvent(e.Event)
		}
		if err != nil {
			fr.event.Data = nil
			a.skip(ctx, e.ID)
		}
		out = append(out, fr)
	}
	return out
}

// skip counts and logs an entry that is no event. Its content may be a payload, and is not logged.
func (a *API) skip(ctx context.Context, id events.ID) {
	a.metrics.skipped.Inc()
	a.slog.LogAttrs(ctx, slog.LevelWarn, "undecodable entry skipped", slog.String("entry", id.String()))
}
