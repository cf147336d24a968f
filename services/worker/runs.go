package worker

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// run is an attempt that this worker holds.
type run struct {
	attempt eventlog.Attempt
	name    string
	cancel  context.CancelCauseFunc
	since   time.Time
	until   time.Time   // of its timeout; zero when it has none
	ending  atomic.Bool // its handler has returned: nothing is to be cancelled any more
}

// runs are the attempts that this worker holds, or thinks that it does: after one was lost, the next
// attempt at the same task can be here beside it. The zero value is empty.
type runs struct {
	mu sync.Mutex
	m  map[*run]bool
}

func (rs *runs) add(r *run) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.m == nil {
		rs.m = map[*run]bool{}
	}
	rs.m[r] = true
}

func (rs *runs) remove(r *run) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	delete(rs.m, r)
}

// each calls f for every run, one after the other, without holding anything up.
func (rs *runs) each(f func(*run)) {
	rs.mu.Lock()
	all := make([]*run, 0, len(rs.m))
	for r := range rs.m {
		all = append(all, r)
	}
	rs.mu.Unlock()
	for _, r := range all {
		f(r)
	}
}

// of returns the attempts at a task that run here.
func (rs *runs) of(task string) (list []*run) {
	rs.each(func(r *run) {
		if r.attempt.Task == task {
			list = append(list, r)
		}
	})
	return list
}

func (rs *runs) count() int {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.m)
}

// extendTries is how often the watchdog extends within a lease.
const extendTries = 3

// watch extends the leases of all that runs, until ctx ends.
func (w *Worker) watch(ctx context.Context) {
	every := w.cfg.LeaseTTL / extendTries
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for try := 0; ctx.Err() == nil && !w.extend(ctx); try++ {
			// Redis was away: the leases get shorter while we wait.
			pause.For(ctx, min(time.Second, every/4, 50*time.Millisecond<<min(try, 5)))
		}
	}
}

// extend extends every lease once. It reports whether Redis answered for all.
func (w *Worker) extend(ctx context.Context) bool {
	byPartition := map[int][]*run{}
	w.runs.each(func(r *run) {
		if !r.until.IsZero() && time.Since(r.until) > w.cfg.LeaseTTL {
			return // it ignores its timeout: let it be abandoned, so that the task goes on elsewhere
		}
		n := w.log.Of(r.attempt.Task).N
		byPartition[n] = append(byPartition[n], r)
	})
	all := true
	for n, list := range byPartition {
		for some := range slices.Chunk(list, eventlog.MaxItems/2) {
			all = w.extendSome(ctx, w.log.Partitions()[n], some) && all
		}
	}
	return all
}

// extendSome extends the leases of attempts in one partition, and ends the handlers of those that no
// longer hold their task.
func (w *Worker) extendSome(ctx context.Context, p eventlog.Partition, some []*run) bool {
	attempts := make([]eventlog.Attempt, len(some))
	for i, r := range some {
		attempts[i] = r.attempt
	}
	crashpoint.Hit(crashpoint.WorkerHeartbeat)
	answers, err := w.log.Extend(ctx, p, w.cfg.LeaseTTL, attempts)
	if err != nil {
		w.metrics.extendFailures.Inc()
		w.slog.LogAttrs(ctx, slog.LevelWarn, "leases could not be extended: trying again", slog.Any("error", err))
		return false
	}
	for i, answer := range answers {
		if answer != nil && !some[i].ending.Load() {
			w.lost(ctx, some[i], answer)
		}
	}
	return true
}

// lost ends the handler of an attempt that no longer holds its task.
func (w *Worker) lost(ctx context.Context, r *run, why error) {
	cause := ErrLeaseLost
	if state := fencedBy(why); state == events.StateCancelled {
		cause = ErrCancelled
	} else {
		w.slog.LogAttrs(ctx, slog.LevelWarn, "an attempt lost its lease", slog.String("task", r.attempt.Task),
			slog.Int("attempt", r.attempt.Number), slog.Any("error", why))
	}
	r.cancel(cause)
}
