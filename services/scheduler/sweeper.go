package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// sweepEvery is the time between two sweeps: an abandoned attempt ends at most so much after its
// lease. Two sweeps missed, and nobody can say whether a worker or we were away.
func (c Config) sweepEvery() time.Duration {
	return min(max(c.LeaseTTL/6, 250*time.Millisecond), 2*time.Second)
}

// sweep ends abandoned attempts, until ctx ends.
func (s *Scheduler) sweep(ctx context.Context, p eventlog.Partition) {
	every := s.cfg.sweepEvery()
	for failures := 0; ctx.Err() == nil; {
		next, err := s.sweepOnce(ctx, p, every)
		if err != nil {
			s.failed(ctx, "sweeper", p, failures, err)
			failures++
			continue
		}
		failures = 0
		pause.For(ctx, next)
	}
}

// sweepOnce judges one page of leases and returns when to come back.
func (s *Scheduler) sweepOnce(ctx context.Context, p eventlog.Partition, every time.Duration) (time.Duration, error) {
	swept, err := s.log.Sweep(ctx, p, 2*every, s.cfg.LeaseTTL)
	if err != nil {
		return 0, err
	}
	if swept.Spared > 0 {
		s.metrics.spared.Add(float64(swept.Spared))
		s.slog.LogAttrs(ctx, slog.LevelWarn, "nobody swept for a while: running attempts get one more lease",
			slog.Int("partition", p.N), slog.Int("attempts", swept.Spared))
	}
	if len(swept.Overdue) > 0 {
		tasks, err := s.log.Tasks(ctx, p, swept.Overdue)
		if err != nil {
			return 0, err
		}
		crashpoint.Hit(crashpoint.SchedulerListed)
		var failed error
		for _, t := range tasks {
			failed = errors.Join(failed, s.abandon(ctx, t, swept.Now)) // one task must not stop the others
			if eventlog.Unavailable(failed) {
				return 0, failed
			}
		}
		have := map[string]bool{}
		for _, t := range tasks {
			have[t.ID] = true
		}
		_, err = s.dropNobody(ctx, p.Leases, swept.Overdue, have)
		if failed = errors.Join(failed, err); failed != nil {
			return 0, failed
		}
	}
	if swept.MoreLeft {
		return 0, nil
	}
	if swept.NextEnd > swept.Now {
		return min(every, time.Duration(swept.NextEnd-swept.Now+1)*time.Millisecond), nil
	}
	return every, nil
}

// abandon ends the running attempt of t, unless it ended or was extended meanwhile.
func (s *Scheduler) abandon(ctx context.Context, t events.Task, now int64) error {
	var retry *time.Duration
	if t.Attempts() < t.MaxAttempts {
		d := t.Backoff.Delay(t.Attempts(), rand.Float64())
		retry = &d
	}
	var run time.Duration
	if n := len(t.Events); n > 0 {
		run = time.Duration(now-t.Events[n-1].Ms) * time.Millisecond // since TaskStarted
	}
	_, err := s.log.Abandon(ctx, t.ID, t.Attempt, t.Worker, run, retry)
	if errors.Is(err, eventlog.ErrFenced) {
		return nil
	}
	if err != nil {
		return err
	}
	s.metrics.abandoned.Inc()
	s.slog.LogAttrs(ctx, slog.LevelWarn, "attempt abandoned", slog.String("task", t.ID),
		slog.Int("attempt", t.Attempt), slog.String("worker", t.Worker), slog.Bool("final", retry == nil))
	return nil
}

// dropNobody removes the members of a ledger whose task has no row, or one that no decision wrote:
// nothing can be done for them, and they would stand in the way of others for ever. It returns how many.
func (s *Scheduler) dropNobody(ctx context.Context, ledger string, ids []string, have map[string]bool) (int, error) {
	var nobody []string
	for _, id := range ids {
		if !have[id] {
			nobody = append(nobody, id)
		}
	}
	if len(nobody) == 0 {
		return 0, nil
	}
	if _, err := s.log.Drop(ctx, ledger, nobody); err != nil {
		return 0, err
	}
	for _, id := range nobody {
		s.slog.LogAttrs(ctx, slog.LevelWarn, "an entry without a usable task row was removed",
			slog.String("ledger", ledger), slog.String("task", id))
	}
	return len(nobody), nil
}
