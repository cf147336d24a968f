package scheduler

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const (
	// idleTick and busyTick bound what a missed wake-up costs: when nothing waits there is none to
	// miss but the first announcement of a worker, which matters only when something waits.
	idleTick = 5 * time.Second
	busyTick = 500 * time.Millisecond

	// presenceAge is how old our knowledge of workers may be while something waits.
	presenceAge = time.Second

	// refusedRest is how long a queue is left alone after Redis refused what was asked for it, and
	// refusedTick how often we look meanwhile at delayed tasks of it whose time has come.
	refusedRest = time.Second
	refusedTick = 50 * time.Millisecond

	// A look finds the first tasks of as many queues as glimpses, the latest that something was handed over of: so many
	// as may fit, or glimpsed of a queue that was empty then.
	glimpsed, glimpses = 16, 4
)

// A dispatcher makes the tasks of one partition due. Two goroutines share it: wake waits for the
// log to grow, run takes the steps.
type dispatcher struct {
	*Scheduler
	part eventlog.Partition

	woken  chan arrivals  // wake → run: the log has grown
	seen   chan events.ID // run → wake: everything up to here was there when the last step looked
	quiet  atomic.Bool    // no step is under way, and after the last one nothing waited
	offset time.Duration  // Redis' clock minus ours

	workers   []eventlog.Presence
	workersAt time.Time // when we asked for them
	queued    map[string]int
	expected  []glimpse            // what the next look is to find, the latest last
	refusals  map[string]time.Time // queues that Redis refused something for, and when
	burst     burst
	skip      int // delayed tasks whose time has come, and which their queues refuse
}

func newDispatcher(s *Scheduler, p eventlog.Partition) *dispatcher {
	return &dispatcher{
		Scheduler: s, part: p, queued: map[string]int{}, refusals: map[string]time.Time{},
		woken: make(chan arrivals, 1), seen: make(chan events.ID, 1),
	}
}

// run takes a step at each wake-up that needs one, at each due time and at each tick, until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	for failures := 0; ctx.Err() == nil; {
		next, seen, err := d.step(ctx)
		if err != nil {
			d.failed(ctx, "dispatcher", d.part, failures, err)
			failures++
			continue
		}
		failures = 0
		d.saw(seen)
		if next > 0 {
			d.pause(ctx, next)
		}
	}
	select { // let wake go, if it waits to be heard
	case <-d.woken:
	default:
	}
}

// saw tells wake up to where the log was seen.
func (d *dispatcher) saw(seen events.ID) {
	select {
	case <-d.seen:
	default:
	}
	d.seen <- seen
}

// pause returns when a step must be taken, which is after the given time at the latest. Until then it hands over what
// arrives in a quiet queue.
func (d *dispatcher) pause(ctx context.Context, next time.Duration) {
	t := time.NewTimer(next)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case came := <-d.woken:
			if !d.hand(ctx, came) {
				return
			}
			d.saw(events.ID{}) // nothing beyond what woke us
		}
	}
}

// front is the first members of waiting:<queue>.
type front struct {
	members []string
	all     bool // there are no more
}

// sight is what a step found in Redis.
type sight struct {
	now     time.Time        // Redis' clock
	overdue []string         // delayed tasks whose time has come, a page of them
	nextDue int64            // ms: the earliest due time in delayed, 0 when there is none
	ready   []string         // queues with something waiting, not paused
	waiting map[string]front // of some queues
	queued  map[string]int64 // entries in their dispatch streams, as far as known
}

// step promotes what is due and dispatches what fits. It returns how long nothing is to be done
// unless an event comes, and up to where it has seen the log.
func (d *dispatcher) step(ctx context.Context) (next time.Duration, seen events.ID, err error) {
	d.quiet.Store(false)
	s, err := d.look(ctx)
	if err != nil {
		return 0, seen, err
	}
	if len(s.overdue)+len(s.ready) > 0 {
		crashpoint.Hit(crashpoint.SchedulerAfterLook)
	}
	// Every event of an earlier millisecond was in the log before we looked.
	seen = events.ID{Ms: s.now.UnixMilli() - 1, Seq: events.MaxID.Seq}
	d.burst.next(len(s.overdue))
	settled, err := d.promote(ctx, s.overdue)
	if err != nil {
		return 0, seen, err
	}
	if settled > 0 { // more waits than the look has found
		s.waiting = nil
	}
	switch {
	case len(s.overdue) < eventlog.MaxItems:
		d.skip = 0
	case settled == 0: // a page of refused ones must not stand in the way of others
		d.skip += eventlog.MaxItems
	}
	again := settled > 0 // they wait now: dispatch them with the next look
	for _, queue := range s.ready {
		if d.rests(queue) || d.burst.holds(queue) {
			continue
		}
		more, err := d.dispatch(ctx, queue, s)
		if eventlog.Unavailable(err) {
			return 0, seen, err
		}
		if err != nil { // one queue must not stop the others, nor slow them down
			d.refused(ctx, "dispatcher", queue, err)
		}
		again = again || more
	}
	if again {
		return 0, seen, nil
	}
	next = idleTick
	if len(s.ready) > 0 {
		next = busyTick
	}
	d.quiet.Store(len(s.ready) == 0)
	if s.nextDue > 0 {
		untilDue := time.UnixMilli(s.nextDue).Sub(time.Now().Add(d.offset))
		soonest := 200 * time.Microsecond
		if s.nextDue <= s.now.UnixMilli() { // its time has come, and Redis refused to promote it
			soonest = refusedTick
		}
		next = min(next, max(untilDue, soonest))
	}
	return next, seen, nil
}

// rests reports whether a queue is left alone.
func (d *dispatcher) rests(queue string) bool {
	if time.Since(d.refusals[queue]) < refusedRest {
		return true
	}
	delete(d.refusals, queue)
	return false
}

// refused reports what Redis refused for one queue, and lets the queue rest.
func (d *dispatcher) refused(ctx context.Context, process, queue string, err error) {
	if ctx.Err() != nil {
		return
	}
	d.refusals[queue] = time.Now()
	d.metrics.failures.WithLabelValues(process).Inc()
	d.slog.LogAttrs(ctx, slog.LevelWarn, "a queue is left alone for a moment",
		slog.String("process", process), slog.String("queue", queue), slog.Any("error", err))
}

// look reads in one round trip what there is to do.
func (d *dispatcher) look(ctx context.Context) (sight, error) {
	pipe := d.log.Conn().Glance()
	asked := time.Now()
	clock := pipe.Time(ctx)
	limit := asked.Add(d.offset + 5*time.Millisecond).UnixMilli() // the script asks the clock itself
	overdue := pipe.ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: d.part.Delayed, ByScore: true, Start: "-inf", Stop: strconv.FormatInt(limit, 10),
		Offset: int64(d.skip), Count: eventlog.MaxItems,
	})
	first := pipe.ZRangeWithScores(ctx, d.part.Delayed, 0, 0)
	ready := pipe.SMembers(ctx, d.part.Ready)
	paused := pipe.SMembers(ctx, d.part.Paused)
	waiting := map[string]*redis.StringSliceCmd{}
	for _, g := range d.expected {
		waiting[g.queue] = pipe.ZRange(ctx, d.part.Waiting(g.queue), 0, int64(g.n-1))
	}
	lengths := map[string]*redis.IntCmd{}
	for queue := range d.queued {
		lengths[queue] = pipe.XLen(ctx, d.part.Due(queue))
	}
	// What is wrong with the stream of one queue is said when something is dispatched to it.
	if _, err := pipe.Exec(ctx); err != nil && eventlog.Unavailable(err) {
		return sight{}, err
	}
	for _, cmd := range []redis.Cmder{clock, overdue, first, ready, paused} {
		if err := cmd.Err(); err != nil {
			return sight{}, err
		}
	}
	now := clock.Val()
	d.offset = now.Sub(asked.Add(time.Since(asked) / 2))
	s := sight{now: now, overdue: overdue.Val(), waiting: map[string]front{}, queued: map[string]int64{}}
	if z := first.Val(); len(z) > 0 {
		s.nextDue = int64(z[0].Score)
	}
	for _, queue := range ready.Val() {
		if !slices.Contains(paused.Val(), queue) {
			s.ready = append(s.ready, queue)
		}
	}
	for _, g := range d.expected {
		members := waiting[g.queue].Val()
		s.waiting[g.queue] = front{members, len(members) < g.n}
	}
	for queue, n := range lengths {
		s.queued[queue] = n.Val()
	}
	d.queued = map[string]int{}
	for _, queue := range s.ready {
		d.queued[queue] = 0
	}
	return s, nil
}

// dispatch hands the best waiting tasks of a queue to its dispatch stream, as many as its workers
// can hold. A stream that is three quarters full is left alone: its workers are busy, their next
// event wakes us, and fewer, larger steps cost Redis less. It reports whether there is more to do
// at once.
func (d *dispatcher) dispatch(ctx context.Context, queue string, s sight) (more bool, err error) {
	credit, err := d.credit(ctx, queue, s.now)
	if err != nil || credit == 0 {
		return false, err
	}
	room := credit - int(s.queued[queue])
	if room < max(1, credit/4) {
		return false, nil
	}
	n := min(room, eventlog.MaxItems)
	members, err := d.best(ctx, queue, n, s)
	if err == nil && len(members) < n {
		d.expect(queue, glimpsed)
	} else {
		d.expect(queue, min(credit, eventlog.MaxItems))
	}
	if err != nil || len(members) == 0 {
		return false, err
	}
	done, err := d.log.Due(ctx, d.part, queue, credit, members)
	if err != nil {
		return false, err
	}
	d.dispatched(done)
	return done.Done == eventlog.MaxItems && done.Room > 0, nil
}

// dispatched counts what became due.
func (d *dispatcher) dispatched(done eventlog.Dispatched) {
	crashpoint.Hit(crashpoint.SchedulerAfterDue)
	d.metrics.dispatched.Add(float64(done.Done))
}

// best returns the best n members of waiting:<queue>. Mostly the look has found them.
func (d *dispatcher) best(ctx context.Context, queue string, n int, s sight) ([]string, error) {
	if f := s.waiting[queue]; len(f.members) > 0 && (f.all || n <= len(f.members)) {
		return f.members[:min(n, len(f.members))], nil
	}
	return d.log.Conn().Batch.ZRange(ctx, d.part.Waiting(queue), 0, int64(n-1)).Result()
}

// glimpse is how many of the first tasks of a queue a look is to find.
type glimpse struct {
	queue string
	n     int
}

// expect says how many tasks of a queue the next look is to find.
func (d *dispatcher) expect(queue string, n int) {
	d.expected = slices.DeleteFunc(d.expected, func(g glimpse) bool { return g.queue == queue })
	d.expected = append(d.expected, glimpse{queue, n})
	d.expected = d.expected[max(0, len(d.expected)-glimpses):]
}

// credit is how many tasks the workers of a queue can run at once: so many may lie in its dispatch
// stream, and an urgent task overtakes all others.
func (d *dispatcher) credit(ctx context.Context, queue string, now time.Time) (int, error) {
	credit := d.capacity(queue, now)
	age := time.Since(d.workersAt)
	if age < presenceAge && (credit > 0 || age < presenceAge/4) {
		return credit, nil
	}
	workers, err := d.log.Present(ctx, d.part)
	if err != nil {
		return 0, err
	}
	d.workers, d.workersAt = workers, time.Now()
	return d.capacity(queue, now), nil
}

func (d *dispatcher) capacity(queue string, now time.Time) (n int) {
	for _, w := range d.workers {
		if w.Serves(queue, now) {
			n += w.Concurrency
		}
	}
	return n
}
