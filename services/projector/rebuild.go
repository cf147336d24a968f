package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/views"
)

// maxFailures is how many steps in a row Redis may leave unanswered, some 5 s, before a rebuild ends
// with the last one's error.
const maxFailures = 10

// Summary tells what a rebuild did.
type Summary struct {
	Partitions int
	Entries    int64 // of the log, read
	Skipped    int64 // of these, no events
	Missed     int64 // entries that had been removed from the log: the views count what is left
	Took       time.Duration
}

// Rebuild throws the stored views away and makes them again from the log, as it is when Rebuild
// begins. Projectors that run meanwhile do no harm: they wait, and go on afterwards. Readers see the
// new views grow. progress, which may be nil, is told entries done and expected; it is called from
// one goroutine at a time.
//
// After an error, or when ctx ends, the views are those of some checkpoint, and any projector makes
// the rest of them.
func Rebuild(ctx context.Context, log *eventlog.Log, progress func(done, total int64)) (Summary, error) {
	began := time.Now()
	p, err := New(log, Config{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return Summary{}, err
	}
	p.cfg.Pace = 0
	var total int64
	for _, part := range log.Partitions() {
		n, err := log.Len(ctx, part)
		if err != nil {
			return Summary{}, fmt.Errorf("rebuild: %w", err)
		}
		total += n
	}
	var mu sync.Mutex
	sum := Summary{Partitions: len(log.Partitions())}
	report := func(read int64) {
		mu.Lock()
		defer mu.Unlock()
		sum.Entries += read
		if progress != nil {
			progress(min(sum.Entries, total), total)
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, len(log.Partitions()))
	for i, part := range log.Partitions() {
		f := &follower{Projector: p, part: part, progress: report}
		wg.Go(func() {
			errs[i] = f.rebuild(ctx)
			if f.fold == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Skipped += f.fold.Skipped
			sum.Missed += f.fold.Missed
		})
	}
	wg.Wait()
	sum.Took = time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return sum, fmt.Errorf("rebuild: %w", err)
	}
	return sum, nil
}

// rebuild resets the views of one partition and leads it until they have reached the end that the
// log had.
func (f *follower) rebuild(ctx context.Context) (err error) {
	if f.fold, err = f.store.Reset(ctx, f.part, f.id, f.cfg.LeaseTTL, true); err != nil {
		return err
	}
	defer f.release(ctx)
	end, err := f.log.Last(ctx, f.part)
	if err != nil {
		return err
	}
	f.until = &end
	for failures := 0; !f.done(); {
		saves := f.saves
		err := f.turn(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if f.saves > saves {
			failures = 0
		}
		if err == nil {
			continue
		}
		if !eventlog.Unavailable(err) || failures == maxFailures {
			return err
		}
		pause.Retry(ctx, failures) // a connection broke, or Redis starts anew
		failures++
	}
	return f.store.Sweep(ctx, f.part, f.fold.Generation)
}

// turn leads the partition for as long as it can, and looks where its views are after somebody else
// moved them: perhaps they have reached the end.
func (f *follower) turn(ctx context.Context) error {
	wait, err := f.lead(ctx)
	if err == nil && wait == 0 {
		return nil
	}
	if err != nil && !errors.Is(err, views.ErrMoved) {
		return err
	}
	pause.For(ctx, wait)
	f.fold, err = f.store.Load(ctx, f.part)
	return err
}
