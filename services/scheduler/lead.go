package scheduler

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/lock"
	"github.com/tasklog/tasklog/infra/pause"
)

const (
	service = "scheduler"
	// leadTTL is how long a partition waits for a scheduler that is silent. It is short, for meanwhile no task of it
	// becomes due, and two that lead do no harm.
	leadTTL = 3 * time.Second
	// leadAgain is the time between two extensions, and after which a lease is asked for again that another has.
	leadAgain = time.Second
)

// lead takes the lease of a partition and works on it, until ctx ends or the lease is lost.
func (s *Scheduler) lead(ctx context.Context, p eventlog.Partition) time.Duration {
	m, err := s.lease(ctx, p)
	if errors.Is(err, lock.ErrTaken) {
		return leadAgain
	}
	if err != nil {
		s.failed(ctx, "lead", p, 0, err)
		return leadAgain
	}
	ctx, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	working.Go(func() { s.work(ctx, p) })
	for pause.For(ctx, leadAgain); ctx.Err() == nil; pause.For(ctx, leadAgain) {
		err := m.Extend(ctx)
		if errors.Is(err, lock.ErrTaken) {
			break
		}
		if err != nil { // Redis is away: the work goes on when it is back, whether the lease is still ours or not
			s.failed(ctx, "lead", p, 0, err)
		}
	}
	stop()
	working.Wait()
	until, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = m.Unlock(until) // else it ends by itself
	return 0
}

// lease takes the lease of a partition, and leaves none behind because ctx ends.
func (s *Scheduler) lease(ctx context.Context, p eventlog.Partition) (*lock.Mutex, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadTTL)
	defer cancel()
	return s.locks.Lock(ctx, p.Leads(service))
}
