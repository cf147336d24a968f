package view

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/share"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/infra/views/own"
	"github.com/tasklog/tasklog/projections"
)

const (
	readBatch = 1000                  // entries of one read
	pace      = 50 * time.Millisecond // shortest time between two saves, once the view has caught up
	leaseTTL  = 5 * time.Second       // how long a partition waits for a program that is silent
	addBatch  = 10                    // entries that are folded before the clock is looked at
	saveAfter = time.Second           // a fold that is slow is stored so often, for else the lease ends meanwhile
	standBy   = 2 * time.Second       // how long one that waits for its turn sleeps at the most
)

// keep keeps a version of a view until ctx ends or it cannot be kept any more.
func (s *Store) keep(ctx context.Context, k own.Kept, empty func() projections.View) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	followers, keeper := map[int]*follower{}, uuid.NewString()
	for _, p := range s.log.Partitions() {
		followers[p.N] = &follower{Store: s, part: p, pages: s.log.Pages(readBatch), kept: k, empty: empty, keeper: keeper}
	}
	service := "view:own:" + k.String() // keys with such a name are the user viewer's to write
	share.New(s.log, service, s.slog).Run(ctx, func(ctx context.Context, p eventlog.Partition) time.Duration {
		wait, err := followers[p.N].turn(ctx)
		if err != nil {
			end(err)
		}
		return wait
	})
	if err := context.Cause(ctx); final(err) {
		return err
	}
	return nil
}

// A follower keeps one partition of a view.
type follower struct {
	*Store
	part   eventlog.Partition
	pages  *eventlog.Pages
	kept   own.Kept
	empty  func() projections.View
	keeper string // the owner of leases

	fold  *own.Fold
	next  bool // an older version is served
	saves int
	held  time.Time // when the lease was extended

	failures int // turns in a row that failed
}

// turn leads the partition if it can, until ctx ends. It returns how long to wait before the next try, or why the view
// cannot be kept any more.
func (f *follower) turn(ctx context.Context) (time.Duration, error) {
	saves := f.saves
	wait, err := f.lead(ctx)
	if f.saves > saves {
		f.failures = 0
	}
	switch {
	case ctx.Err() != nil:
		return 0, nil
	case final(err):
		return 0, err
	case err == nil || errors.Is(err, own.ErrMoved):
		return wait, nil
	}
	f.slog.LogAttrs(ctx, slog.LevelWarn, "step failed and is tried again", slog.String("process", "view"),
		slog.String("view", f.kept.String()), slog.Int("partition", f.part.N), slog.Any("error", err))
	pause.Retry(ctx, f.failures)
	f.failures++
	return 0, nil
}

// final reports whether an error cannot be different the next time.
func final(err error) bool {
	_, over := errors.AsType[*VersionError](err)
	_, panicked := errors.AsType[*FoldError](err)
	return over || panicked
}

// lead takes the lease, loads the view and keeps it until something goes wrong. While another program leads it
// returns how long to wait.
func (f *follower) lead(ctx context.Context) (time.Duration, error) {
	if err := f.look(ctx); err != nil {
		return 0, err
	}
	left, err := f.own.Lease(ctx, f.part, f.kept, f.keeper, leaseTTL)
	if err != nil || left > 0 {
		return min(left+time.Millisecond, standBy), err
	}
	defer f.release(ctx)
	f.held = time.Now()
	if err := f.load(ctx); err != nil {
		return 0, err
	}
	if f.part.N == 0 && !f.next { // a program may have been killed before it swept
		if err := f.own.Sweep(ctx, f.kept); err != nil {
			return 0, err
		}
	}
	for ctx.Err() == nil {
		if err := f.step(ctx); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// look asks which version is served. A greater one ends this one.
func (f *follower) look(ctx context.Context) error {
	served, err := f.own.Claim(ctx, f.kept)
	if err != nil {
		return err
	}
	f.next = served < f.kept.Version
	if served > f.kept.Version {
		return &VersionError{View: f.kept.Name, Served: served, Own: f.kept.Version}
	}
	return nil
}

// load takes the stored view; one that is of no use is begun anew.
func (f *follower) load(ctx context.Context) (err error) {
	f.fold, err = f.own.Load(ctx, f.part, f.kept, f.empty())
	if !errors.Is(err, own.ErrUnusable) {
		return err
	}
	level := slog.LevelWarn
	if errors.Is(err, own.ErrNone) {
		level = slog.LevelInfo // at the first start of a version
	}
	f.slog.LogAttrs(ctx, level, "view is made from the log",
		slog.String("view", f.kept.String()), slog.Int("partition", f.part.N), slog.Any("reason", err))
	f.fold, err = f.own.Begin(ctx, f.part, f.kept, f.keeper, leaseTTL, f.empty())
	return err
}

// release gives the lease back, so that the next program need not wait for its end.
func (f *follower) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = f.own.Lease(ctx, f.part, f.kept, f.keeper, 0) // else it ends by itself
}

// step waits for events, folds what is there and stores the view.
func (f *follower) step(ctx context.Context) error {
	entries, more, err := f.pages.Follow(ctx, f.part, f.fold.Checkpoint, eventlog.MaxBlock)
	if err != nil {
		return err
	}
	for len(entries) > 0 {
		some := min(len(entries), addBatch)
		n, err := f.fold.Add(entries[:some])
		if err != nil {
			return err
		}
		entries = entries[n:]
		if n < some || time.Since(f.held) > saveAfter {
			if err := f.save(ctx); err != nil {
				return err
			}
		}
	}
	if !f.fold.Dirty() {
		if err := f.idle(ctx); err != nil {
			return err
		}
	} else if err := f.save(ctx); err != nil {
		return err
	}
	if !more && f.next {
		if err := f.swap(ctx); err != nil {
			return err
		}
	}
	if !more {
		pause.For(ctx, pace) // more events then share a save
	}
	return nil
}

// idle holds the lease of a partition in which nothing happens.
func (f *follower) idle(ctx context.Context) error {
	if err := f.look(ctx); err != nil {
		return err
	}
	f.held = time.Now()
	left, err := f.own.Lease(ctx, f.part, f.kept, f.keeper, leaseTTL)
	if err == nil && left > 0 {
		return own.ErrMoved
	}
	return err
}

// save stores the view.
func (f *follower) save(ctx context.Context) error {
	missed, err := views.Gap(ctx, f.log, f.part, f.fold.Checkpoint, f.fold.Read+f.fold.Missed)
	if err != nil {
		return err
	}
	if f.fold.Missed += missed; missed > 0 {
		f.slog.LogAttrs(ctx, slog.LevelError, "the log was trimmed before it was read: the view misses events",
			slog.String("view", f.kept.String()), slog.Int("partition", f.part.N), slog.Int64("entries", missed))
	}
	if err := f.own.Save(ctx, f.fold, f.keeper, leaseTTL); err != nil {
		return err
	}
	f.saves++
	f.held = time.Now()
	if f.next {
		crashpoint.Hit(crashpoint.OwnMidRebuild)
	}
	return nil
}

// swap lets the view be served once every partition of it has caught up.
func (f *follower) swap(ctx context.Context) error {
	ready, err := f.own.CaughtUp(ctx, f.kept)
	if err != nil || !ready {
		return err
	}
	crashpoint.Hit(crashpoint.OwnBeforeSwap)
	swapped, err := f.own.Swap(ctx, f.kept)
	if err != nil {
		return err
	}
	if swapped {
		crashpoint.Hit(crashpoint.OwnAfterSwap)
		f.slog.LogAttrs(ctx, slog.LevelInfo, "a new version of the view is served", slog.String("view", f.kept.String()))
	}
	if err := f.own.Sweep(ctx, f.kept); err != nil {
		return err
	}
	return f.look(ctx)
}
