package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

const (
	// pagesPerTick bounds how much of a pass over all rows one tick takes.
	pagesPerTick = 10
	// liveRest is after how many ticks live tasks are looked at again while nothing happens.
	liveRest = 20
	// gone is how long a worker was silent that will not come back, as one of a container that was replaced.
	gone = 24 * time.Hour
	// dismissEvery is how often we look for such.
	dismissEvery = time.Hour
)

// A pass is one walk of the reconciler over all rows of a partition.
type pass struct {
	cursor uint64
	began  events.ID // the end of the log when the pass began
	live   bool      // it met a task that is not final
	mended bool      // it put something back
	over   time.Time
}

// suffices reports whether there is no need for another pass although this one is over, as long as
// the log has the end that it had.
func (p pass) suffices(end events.ID, every time.Duration) bool {
	if p.over.IsZero() || p.began != end {
		return false
	}
	return !p.live || !p.mended && time.Since(p.over) < liveRest*every
}

// reconcile walks over the rows, a few pages at a time, until ctx ends. It starts from the rows and
// not from the ledgers, because what a ledger lost it cannot tell. While nothing happens it rests: for
// good after a pass that met final tasks only, for some ticks after one that found all in order.
func (s *Scheduler) reconcile(ctx context.Context, p eventlog.Partition) {
	var now, done pass
	var dismissed time.Time
	var last events.ID
	for failures := 0; ctx.Err() == nil; {
		end, err := s.log.Last(ctx, p)
		if p.N == 0 && (end != last || end.IsZero()) { // a log that ends where it did is still there
			s.confirm(ctx)
		}
		last = end
		if err == nil && time.Since(dismissed) > dismissEvery {
			if err = s.dismiss(ctx, p); err == nil {
				dismissed = time.Now()
			}
		}
		if err == nil && done.suffices(end, s.cfg.ReconcileEvery) {
			pause.For(ctx, s.cfg.ReconcileEvery)
			continue
		}
		for i := 0; i < pagesPerTick && err == nil; i++ {
			if now.cursor == 0 {
				now = pass{began: end}
			}
			if err = s.reconcilePage(ctx, p, &now); err == nil && now.cursor == 0 {
				now.over = time.Now()
				done = now
				break
			}
		}
		if err != nil {
			s.failed(ctx, "reconciler", p, failures, err)
			failures++
			continue
		}
		failures = 0
		pause.For(ctx, s.cfg.ReconcileEvery)
	}
}

// dismiss lets nobody stay on the list of workers for ever.
func (s *Scheduler) dismiss(ctx context.Context, p eventlog.Partition) error {
	workers, err := s.log.Dismiss(ctx, p, gone)
	for _, w := range workers {
		s.slog.LogAttrs(ctx, slog.LevelInfo, "a worker that was not heard of for a day is forgotten",
			slog.Int("partition", p.N), slog.String("worker", w))
	}
	return err
}

// confirm says aloud when Redis has lost the log. There is nothing to mend: what the services know they
// know from there.
func (s *Scheduler) confirm(ctx context.Context) {
	err := s.log.Confirm(ctx)
	_, other := errors.AsType[*eventlog.ErrPartitions](err)
	if !other && !errors.Is(err, eventlog.ErrForgotten) {
		return // nothing is wrong, or Redis is away, and that is told elsewhere
	}
	s.metrics.forgotten.Inc()
	s.slog.LogAttrs(ctx, slog.LevelError, "the log is lost, and with it every task that was accepted", slog.Any("error", err))
}

// reconcilePage mends one page of rows.
func (s *Scheduler) reconcilePage(ctx context.Context, p eventlog.Partition, now *pass) error {
	view := s.log.Conn().View
	prefix := p.Task("")
	keys, cursor, err := s.log.Scan(ctx, p, "task:", now.cursor, eventlog.MaxItems)
	if err != nil {
		return err
	}
	rows, err := view.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, key := range keys {
			pipe.HMGet(ctx, key, "state", "queue")
		}
		return nil
	})
	if err != nil && eventlog.Unavailable(err) {
		return err
	}
	for i, cmd := range rows {
		values := cmd.(*redis.SliceCmd).Val()
		if len(values) != 2 {
			continue // no row of ours
		}
		state, _ := values[0].(string)
		queue, _ := values[1].(string)
		if state == "" || events.State(state).Final() {
			continue
		}
		now.live = true
		task := strings.TrimPrefix(keys[i], prefix)
		mended, err := s.log.Mend(ctx, p, task, queue)
		if err != nil && eventlog.Unavailable(err) {
			return err
		}
		if err != nil { // one row that no decision wrote must not stop the pass
			s.metrics.failures.WithLabelValues("reconciler").Inc()
			s.slog.LogAttrs(ctx, slog.LevelWarn, "a task's row is not as a decision would write it", slog.String("task", task), slog.Any("error", err))
			continue
		}
		if mended != "" {
			now.mended = true
			s.metrics.mended.WithLabelValues(mended).Inc()
			s.slog.LogAttrs(ctx, slog.LevelWarn, "a lost ledger entry was put back",
				slog.String("ledger", mended), slog.String("task", task), slog.String("queue", queue))
		}
	}
	now.cursor = cursor
	return nil
}
