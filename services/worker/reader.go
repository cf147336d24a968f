package worker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

const (
	queuesAge  = 2 * time.Second        // how old our knowledge of queues may be
	greetWait  = 100 * time.Millisecond // how long a queue waits that comes up while another one does
	claimEvery = 2 * time.Second        // between two looks for entries that nobody started
	claimIdle  = 3 * time.Second        // an entry is started, or given back, sooner than this
	claimRest  = time.Minute            // between two such looks while nothing happens
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
		r := &reader{
			subscriber: s, part: p, share: make(chan struct{}, share),
			flying: map[flight]bool{}, cursors: map[string]string{}, newcomers: make(chan string, 16),
		}
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

// signOff takes the worker out of the groups that it read. A crash leaves it there, which costs
// some bytes and nothing else.
func (s *subscriber) signOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, r := range s.readers {
		r.mu.Lock()
		known := r.known
		r.mu.Unlock()
		for _, queue := range known {
			if _, err := s.log.Forget(ctx, r.part, queue, s.cfg.ID); err != nil {
				s.slog.LogAttrs(ctx, slog.LevelInfo, "a group still lists this worker", slog.Any("error", err))
				return
			}
		}
	}
}

// reader takes what is due in one partition.
type reader struct {
	*subscriber
	part  eventlog.Partition
	share chan struct{} // of the worker's slots: a token for each entry whose handler has not returned

	newcomers chan string // queues that just came up

	// Of read alone.
	turn      int               // which queue comes first, when there are fewer slots
	claimedAt time.Time         // when it last looked for unstarted entries
	passedAt  time.Time         // when it last had looked at all of them
	end       events.ID         // of the log
	movedAt   time.Time         // when that moved, or something was claimed
	cursors   map[string]string // by queue: where the next such look begins

	mu      sync.Mutex
	flying  map[flight]bool // entries that were taken and are not done
	known   []string        // queues that read serves
	knownAt time.Time
	grouped map[string]bool // queues whose group is there
}

// flight names an entry of a dispatch stream.
type flight struct {
	queue string
	entry events.ID
}

// read takes entries as fast as there are slots for them, until ctx ends.
func (r *reader) read(ctx context.Context, out chan<- *message.Message) {
	for failures := 0; ctx.Err() == nil; {
		err := r.readOnce(ctx, out)
		switch {
		case err == nil:
			failures = 0
		case ctx.Err() == nil:
			r.failed(ctx, failures, err)
			failures++
		}
	}
}

func (r *reader) readOnce(ctx context.Context, out chan<- *message.Message) error {
	queues, err := r.queues(ctx)
	if err != nil {
		return err
	}
	if time.Since(r.claimedAt) > claimEvery {
		if err := r.claim(ctx, out, queues); err != nil {
			return err
		}
	}
	free := r.free(ctx)
	if free == 0 {
		return nil
	}
	// COUNT is a limit for each stream: with fewer slots than queues, what is due now is taken in turn. When nothing
	// is, a read of all of them ends with the first entry that comes; only what comes before the wait has begun
	// may be more than there are slots for, and waits here.
	if free < len(queues) {
		taken, err := r.log.Grab(ctx, r.part, r.cfg.ID, rotated(queues, r.turn), free)
		if n := len(taken); n > 0 {
			r.turn = slices.Index(queues, taken[n-1].Queue) + 1
		}
		if r.took(ctx, out, taken, err); err != nil || len(taken) > 0 {
			return err
		}
	}
	return r.take(ctx, out, queues, max(1, free/len(queues)), eventlog.MaxBlock)
}

// free waits until there is a slot and returns how many there are, or none when ctx ended.
func (r *reader) free(ctx context.Context) int {
	select {
	case r.share <- struct{}{}:
		<-r.share
		return min(cap(r.share)-len(r.share), eventlog.MaxItems)
	case <-ctx.Done():
		return 0
	}
}

// take reads at most n entries from each queue.
func (r *reader) take(ctx context.Context, out chan<- *message.Message, queues []string, n int, wait time.Duration) error {
	taken, err := r.log.Take(ctx, r.part, r.cfg.ID, queues, n, wait)
	r.took(ctx, out, taken, err)
	return err
}

// took delivers what a read returned.
func (r *reader) took(ctx context.Context, out chan<- *message.Message, taken []eventlog.Dispatch, err error) {
	if len(taken) > 0 {
		crashpoint.Hit(crashpoint.WorkerAfterTake)
	}
	for _, d := range taken {
		r.deliver(ctx, out, d)
	}
	if errors.Is(err, eventlog.ErrNoGroup) {
		r.forget()
	}
}

// claim takes over entries that were delivered and not started: by workers that died, or by this one
// when it could not get a mutex or a reply was lost. Before an entry is delivered to anybody while this
// worker has slots, the log moves: so one look at all of them, some time after it last moved, will do.
func (r *reader) claim(ctx context.Context, out chan<- *message.Message, queues []string) error {
	end, err := r.log.Last(ctx, r.part)
	if err != nil {
		return err
	}
	r.claimedAt = time.Now()
	if end != r.end {
		r.end, r.movedAt = end, r.claimedAt
	}
	if r.passedAt.Sub(r.movedAt) > 2*claimIdle && time.Since(r.passedAt) < claimRest {
		return nil
	}
	for _, queue := range queues {
		free := r.free(ctx)
		if free == 0 {
			return nil
		}
		claimed, next, err := r.log.Claim(ctx, r.part, r.cfg.ID, queue, claimIdle, cmp.Or(r.cursors[queue], "0-0"), free)
		if errors.Is(err, eventlog.ErrNoGroup) {
			r.forget()
		}
		if err != nil {
			return err
		}
		r.cursors[queue] = next
		if len(claimed) > 0 || next != "0-0" {
			r.movedAt = time.Now()
		}
		for _, d := range claimed {
			if !r.flies(flight{queue, d.Entry}) {
				r.metrics.claimed.Inc()
				r.deliver(ctx, out, d)
			}
		}
	}
	r.passedAt = r.claimedAt
	return nil
}

func (r *reader) flies(f flight) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flying[f]
}

// rotated returns list from a place on that moves.
func rotated(list []string, turn int) []string {
	turn %= len(list)
	return append(slices.Clone(list[turn:]), list[:turn]...)
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
	var fresh []string
	for ctx.Err() == nil {
		if len(fresh) == 0 {
			select {
			case <-ctx.Done():
				return
			case queue := <-r.newcomers:
				fresh = append(fresh, queue)
			}
		}
		for more := true; more; {
			select {
			case queue := <-r.newcomers:
				fresh = append(fresh, queue)
			default:
				more = false
			}
		}
		slices.Sort(fresh)
		fresh = slices.DeleteFunc(slices.Compact(fresh), r.serves)
		if err := r.meet(ctx, out, fresh); err != nil {
			r.failed(ctx, 0, err)
		}
	}
}

// meet takes what is due in queues that read does not know, and has it learn of them. It may take more than there
// are slots for: that waits.
func (r *reader) meet(ctx context.Context, out chan<- *message.Message, fresh []string) error {
	if len(fresh) == 0 {
		return nil
	}
	for _, queue := range fresh {
		if err := r.group(ctx, queue); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.knownAt = time.Time{}
	r.mu.Unlock()
	return r.take(ctx, out, fresh, 1, greetWait)
}

func (r *reader) serves(queue string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.known, queue)
}

// deliver hands an entry to the router, in a slot.
func (r *reader) deliver(ctx context.Context, out chan<- *message.Message, d eventlog.Dispatch) {
	f := flight{d.Queue, d.Entry}
	if d.Err != nil {
		r.metrics.undecodable.Inc()
		r.slog.LogAttrs(ctx, slog.LevelWarn, "an entry that is no dispatched task is removed", slog.Any("error", d.Err))
		if err := r.log.Discard(ctx, r.part, d.Queue, d.Entry); err != nil {
			r.failed(ctx, 0, err)
		}
		return
	}
	r.mu.Lock()
	r.flying[f] = true
	r.mu.Unlock()
	r.share <- struct{}{}
	r.slots <- struct{}{} // with one partition there is one for each token of the share
	msg := message.NewMessage(d.Task, nil)
	msg.SetContext(context.WithValue(r.life, deliveryKey{}, &delivery{
		Dispatch: d, part: r.part, stopping: ctx.Done(),
		free: sync.OnceFunc(func() {
			<-r.slots
			<-r.share
		}),
		done: func() {
			r.mu.Lock()
			delete(r.flying, f)
			r.mu.Unlock()
		},
	}))
	out <- msg // the router takes every message, also while it closes
}

// failed reports a read that is tried again, and waits before that.
func (r *reader) failed(ctx context.Context, inARow int, err error) {
	r.metrics.readFailures.Inc()
	r.slog.LogAttrs(ctx, slog.LevelWarn, "a read failed and is tried again", slog.Int("partition", r.part.N), slog.Any("error", err))
	pause.Retry(ctx, inARow)
}
