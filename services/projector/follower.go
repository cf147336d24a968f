package projector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
)

const (
	readBatch = 1000 // entries of one read, at the most
	maxBatch  = 5000 // entries of one save

	// standBy bounds how long a projector sleeps that waits for a lease: another that stops in
	// good order, or has partitions to spare, gives the lease back before it ends.
	standBy = 2 * time.Second
)

// A follower keeps the views of one partition.
type follower struct {
	*Projector
	part  eventlog.Partition
	pages *eventlog.Pages
	fold  *views.Fold
	past  *recorder // of snapshots

	ahead   []eventlog.Entry // read and not yet folded
	more    bool             // the log has more than was read last
	renewed time.Time        // when the lease was extended, by our clock
	saved   time.Time        // when the views were stored
	saves   int

	failures int // tries to lead, in a row, that failed
}

// lead takes the lease, loads the views and keeps them until something goes wrong. While another projector
// leads it returns how long to wait.
func (f *follower) lead(ctx context.Context) (time.Duration, error) {
	f.renewed = time.Now()
	left, err := f.store.Lease(ctx, f.part, f.id, f.cfg.LeaseTTL)
	if err != nil || left > 0 {
		return min(left+time.Millisecond, standBy), err
	}
	defer f.release(ctx, f.part)
	if err := f.load(ctx); err != nil {
		return 0, err
	}
	f.metrics.leads.WithLabelValues(label(f.part.N)).Set(1)
	defer f.metrics.leads.WithLabelValues(label(f.part.N)).Set(0)

	ctx, stop := context.WithCancel(ctx)
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	f.past = newRecorder(f.Projector, f.part)
	defer f.past.close()
	defer stop()
	if !f.fold.Swept() {
		generation := f.fold.Generation
		sweeping.Go(func() { f.sweep(ctx, generation) })
	}
	for ctx.Err() == nil {
		if err := f.step(ctx); err != nil {
			if errors.Is(err, views.ErrMoved) {
				f.metrics.moved.Inc()
			}
			return f.mended(ctx, err)
		}
		f.past.step(ctx, f.fold.Checkpoint)
	}
	return 0, nil
}

// load takes the stored views. Those of another version stay for their readers until ours are there; others that
// are of no use are thrown away.
func (f *follower) load(ctx context.Context) (err error) {
	f.ahead = nil
	f.fold, err = f.store.Load(ctx, f.part)
	if errors.Is(err, views.ErrVersion) {
		f.metrics.rebuilds.Inc()
		f.slog.LogAttrs(ctx, slog.LevelInfo, "views are made beside those of another version, and will take their place",
			slog.Int("partition", f.part.N), slog.Any("reason", err))
		r := remake{Projector: f.Projector, part: f.part, renewed: f.renewed, leads: true}
		if _, err := r.run(ctx); err != nil {
			return err
		}
		f.fold, err = f.store.Load(ctx, f.part)
	}
	if errors.Is(err, views.ErrUnusable) {
		return f.reset(ctx, err)
	}
	return err
}

// reset starts the views again.
func (f *follower) reset(ctx context.Context, why error) (err error) {
	level := slog.LevelWarn
	if errors.Is(why, views.ErrNone) {
		level = slog.LevelDebug // as at the first start
	}
	f.metrics.rebuilds.Inc()
	f.slog.LogAttrs(ctx, level, "views are made again from the log",
		slog.Int("partition", f.part.N), slog.Any("reason", why))
	f.fold, err = f.store.Reset(ctx, f.part, f.id, f.cfg.LeaseTTL)
	return err
}

// mended resets views that turned out to be broken when they were stored.
func (f *follower) mended(ctx context.Context, err error) (time.Duration, error) {
	if errors.Is(err, views.ErrUnusable) {
		return 0, f.reset(ctx, err)
	}
	return 0, err
}

// release gives the lease of a partition back, so that the next projector need not wait for its end.
func (p *Projector) release(ctx context.Context, part eventlog.Partition) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = p.store.Release(ctx, part, p.id) // else it ends by itself
}

func (f *follower) sweep(ctx context.Context, generation int64) {
	if err := f.store.Sweep(ctx, f.part, generation); err != nil && ctx.Err() == nil {
		f.slog.LogAttrs(ctx, slog.LevelWarn, "old views could not be swept: the next projector tries again",
			slog.Int("partition", f.part.N), slog.Any("error", err))
	}
}

// step waits for events, folds what is there and stores the views.
func (f *follower) step(ctx context.Context) error {
	if err := f.gather(ctx); err != nil {
		return err
	}
	if !f.fold.Dirty() {
		return f.renew(ctx)
	}
	if err := f.noteGap(ctx); err != nil {
		return err
	}
	crashpoint.Hit(crashpoint.ProjectorBeforeSave)
	if err := f.store.Save(ctx, f.fold, f.id, f.cfg.LeaseTTL); err != nil {
		return err
	}
	crashpoint.Hit(crashpoint.ProjectorAfterSave)
	f.saves++
	f.saved = time.Now()
	f.renewed = f.saved
	f.metrics.saves.Inc()
	f.metrics.newest.WithLabelValues(label(f.part.N)).Set(float64(f.fold.Checkpoint.Ms) / 1000)
	return nil
}
