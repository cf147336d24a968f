package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const (
	queuesAge  = 2 * time.Second       // how old our knowledge of queues may be
	sharedWait = 50 * time.Millisecond // how long a read may wait that leaves queues out
	claimEvery = 2 * time.Second       // between two looks for entries that nobody started
	claimIdle  = 3 * time.Second       // an entry is started, or given back, sooner than this
)

// subscriber is a message.Subscriber of everything that is due: a reader for each partition.
type subscriber struct {
	*Worker
	life    context.Context //nolint:containedctx // that of the messages, which outlive their subscription
	readers []*reader
}

func newSubscriber(life context.Context, w *Worker) *subscriber {
	s := &subscriber{Worker: w, life: life}
	parts := w.log.Partitions()
	share := (w.cfg.Concurrency + len(parts) - 1) / len(parts)
	for _, p := range parts {
		r := &reader{subscriber: s, part: p, share: make(chan struct{}, share), flying: map[flight]bool{}, newcomers: make(chan string, 16)}
		s.readers = append(s.readers, r)
	}
	return s
}

// Subscribe implements message.Subscriber. The channel closes when ctx has ended and every read is over.
func (s *subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	var wg sync.WaitGroup
	for _, r := range s.readers {
		wg.Go(func() { r.read(ctx, out) })
		wg.Go(func() { r.claim(ctx, out) })
		wg.Go(func() { r.greet(ctx, out) })
	}
	go func() {
		wg.Wait()
		close(out)
	}()
	return out, nil
}

// Close implements message.Subscriber. A subscription ends with its context.
func (s *subscriber) Close() error { return nil }

// reader takes what is due in one partition.
type reader struct {
	*subscriber
	part  eventlog.Partition
	share chan struct{} // a token for each entry that this partition holds of the worker's slots

	newcomers chan string // queues that just came up

	mu       sync.Mutex
	flying   map[flight]bool // entries that were taken and are not done
	known    []string        // queues that read serves
	knownAt  time.Time
	grouped  map[string]bool // queues whose group is there
	claiming int             // of known: where the next look for unstarted entries begins
}

// flight names an entry of a dispatch stream.
type flight struct {
	queue string
	entry events.ID
}

// read takes entries as fast as there are slots for them, until ctx ends.
func (r *reader) read(ctx context.Context, out chan<- *message.Message) {
	for failures, turn := 0, 0; ctx.Err() == nil; {
		err := r.readOnce(ctx, out, &turn)
		switch {
		case err == nil:
			failures = 0
		case ctx.Err() == nil:
			r.failed(ctx, failures, err)
			failures++
		}
	}
}

func (r *reader) readOnce(ctx context.Context, out chan<- *message.Message, turn *int) error {
	queues, err := r.queues(ctx)
	if err != nil {
		return err
	}
	free := r.reserve(ctx)
	if free == 0 {
		return nil
	}
	// COUNT is a limit for each stream: with fewer slots than queues, these take turns.
	wait := eventlog.MaxBlock
	if free < len(queues) {
		queues, wait = rotated(queues, *turn, free), sharedWait
		*turn += free
	}
	return r.take(ctx, out, queues, free, wait)
}

// take reads from queues into reserved slots, and returns those that it did not need.
func (r *reader) take(ctx context.Context, out chan<- *message.Message, queues []string, reserved int, wait time.Duration) error {
	taken, err := r.log.Take(ctx, r.part, r.cfg.ID, queues, reserved/len(queues), wait)
	r.free(reserved - len(taken))
	for _, d := range taken {
		r.deliver(ctx, out, d)
	}
	if errors.Is(err, eventlog.ErrNoGroup) {
		r.forget()
	}
	return err
}

// rotated returns n of list, from a place on that moves.
func rotated(list []string, turn, n int) []string {
	some := make([]string, n)
	for i := range some {
		some[i] = list[(turn+i)%len(list)]
	}
	return some
}

// queues returns those to serve, at least one. Each has its group.
func (r *reader) queues(ctx context.Context) ([]string, error) {
	r.mu.Lock()
	known, age := r.known, time.Since(r.knownAt)
	r.mu.Unlock()
	if len(known) > 0 && (age < queuesAge || len(r.cfg.Queues) > 0) {
		return known, nil
	}
	queues := r.cfg.Queues
	if len(queues) == 0 {
		all, err := r.log.Conn().View.SMembers(ctx, r.part.Queues).Result()
		if err != nil {
			return nil, err
		}
		if !slices.Contains(all, events.DefaultQueue) {
			all = append(all, events.DefaultQueue) // most logs use it, and it should be there at once
		}
		slices.Sort(all)
		queues = all
	}
	for _, q := range queues {
		if err := r.group(ctx, q); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.knownAt = queues, time.Now()
	return queues, nil
}

// group makes the group of a queue, once.
func (r *reader) group(ctx context.Context, queue string) error {
	r.mu.Lock()
	have := r.grouped[queue]
	r.mu.Unlock()
	if have {
		return nil
	}
	if err := r.log.CreateGroup(ctx, r.part, queue); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grouped == nil {
		r.grouped = map[string]bool{}
	}
	r.grouped[queue] = true
	return nil
}

// forget makes the next look at the queues create every group anew.
func (r *reader) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known, r.grouped = nil, nil
}

// look tells the reader of a partition, by its channel of signals, that a queue came up.
func (s *subscriber) look(channel, queue string) {
	for _, r := range s.readers {
		if r.part.Signals == channel && len(r.cfg.Queues) == 0 {
			select {
			case r.newcomers <- queue:
			default: // the next look finds it
			}
		}
	}
}

// greet serves queues that come up until read, which may be waiting for others, knows them.
func (r *reader) greet(ctx context.Context, out chan<- *message.Message) {
	for {
		var queue string
		select {
		case <-ctx.Done():
			return
		case queue = <-r.newcomers:
		}
		for ctx.Err() == nil && !r.serves(queue) {
			err := r.group(ctx, queue)
			if err == nil {
				if free := r.reserve(ctx); free > 0 {
					err = r.take(ctx, out, []string{queue}, free, queuesAge/4)
				}
			}
			if err != nil {
				r.failed(ctx, 0, err)
			}
		}
	}
}

func (r *reader) serves(queue string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.known, queue)
}

// claim takes over entries that were delivered and not started, by workers that died or by this one
// when it could not get a lock or a reply was lost, until ctx ends.
func (r *reader) claim(ctx context.Context, out chan<- *message.Message) {
	cursors := map[string]string{}
	for {
		pause(ctx, claimEvery)
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		known := r.known
		r.mu.Unlock()
		for _, queue := range known {
			if err := r.claimOnce(ctx, out, queue, cursors); err != nil && ctx.Err() == nil {
				if errors.Is(err, eventlog.ErrNoGroup) {
					r.forget()
				}
				r.failed(ctx, 0, err)
				break
			}
		}
	}
}

func (r *reader) claimOnce(ctx context.Context, out chan<- *message.Message, queue string, cursors map[string]string) error {
	select {
	case r.share <- struct{}{}:
	default:
		return nil // all slots are taken: whoever has a free one claims
	}
	reserved := 1 + r.reserveMore()
	cursor := cursors[queue]
	if cursor == "" {
		cursor = "0-0"
	}
	claimed, next, err := r.log.Claim(ctx, r.part, r.cfg.ID, queue, claimIdle, cursor, reserved)
	cursors[queue] = next
	fresh := claimed[:0]
	r.mu.Lock()
	for _, d := range claimed {
		if !r.flying[flight{queue, d.Entry}] {
			fresh = append(fresh, d)
		}
	}
	r.mu.Unlock()
	r.free(reserved - len(fresh))
	for _, d := range fresh {
		r.metrics.claimed.Inc()
		r.deliver(ctx, out, d)
	}
	return err
}

// reserve waits for a slot and takes all that are free. It returns none when ctx ended.
func (r *reader) reserve(ctx context.Context) int {
	select {
	case r.share <- struct{}{}:
		return 1 + r.reserveMore()
	case <-ctx.Done():
		return 0
	}
}

func (r *reader) reserveMore() (n int) {
	for n < eventlog.MaxItems {
		select {
		case r.share <- struct{}{}:
			n++
		default:
			return n
		}
	}
	return n
}

func (r *reader) free(n int) {
	for range n {
		<-r.share
	}
}

// deliver hands an entry to the router, in a slot that the caller has reserved.
func (r *reader) deliver(ctx context.Context, out chan<- *message.Message, d eventlog.Dispatch) {
	f := flight{d.Queue, d.Entry}
	if d.Err != nil {
		r.metrics.undecodable.Inc()
		r.slog.LogAttrs(ctx, slog.LevelWarn, "an entry that is no dispatched task is removed", slog.Any("error", d.Err))
		if err := r.log.Discard(ctx, r.part, d.Queue, d.Entry); err != nil {
			r.failed(ctx, 0, err)
		}
		r.free(1)
		return
	}
	r.mu.Lock()
	r.flying[f] = true
	r.mu.Unlock()
	r.slots <- struct{}{} // with one partition there is one for each token of the share
	msg := message.NewMessage(d.Task, nil)
	msg.SetContext(context.WithValue(r.life, deliveryKey{}, &delivery{
		Dispatch: d, part: r.part, stopping: ctx.Done(),
		done: func() {
			<-r.slots
			r.mu.Lock()
			delete(r.flying, f)
			r.mu.Unlock()
			r.free(1)
		},
	}))
	out <- msg // the router takes every message, also while it closes
}

// failed reports a read that is tried again, and waits before that.
func (r *reader) failed(ctx context.Context, inARow int, err error) {
	r.metrics.readFailures.Inc()
	r.slog.LogAttrs(ctx, slog.LevelWarn, "a read failed and is tried again", slog.Int("partition", r.part.N), slog.Any("error", err))
	pause(ctx, min(time.Second, 20*time.Millisecond<<min(inARow, 6)))
}
