package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/views"
)

const (
	// maxFailures is how many steps in a row Redis may leave unanswered, some 5 s, before a remake ends
	// with the last one's error.
	maxFailures = 10
	// maxTries is how often it begins anew because somebody else put other views in their place.
	maxTries = 5
	// rounds is how often it reads what the log got meanwhile, before it stops projectors for the rest.
	rounds = 3
)

// A remake makes the views of one partition again, beside those that are stored.
type remake struct {
	*Projector
	part    eventlog.Partition
	only    string           // a view; empty: all
	report  func(read int64) // may be nil
	leads   bool             // it was given the lease, and is to keep it
	holds   bool             // it has the lease
	renewed time.Time        // when the lease was extended, by our clock

	shadow *views.Shadow
	told   int64 // entries that were reported
}

// remade tells what a remake did.
type remade struct {
	views.Head
	differences []views.Difference
	note        string // why there was nothing to compare with
}

// run makes the views, and begins anew where somebody else put other ones in their place.
func (r *remake) run(ctx context.Context) (done remade, err error) {
	for range maxTries {
		r.holds = r.leads
		if done, err = r.try(ctx); !errors.Is(err, views.ErrMoved) || r.leads || ctx.Err() != nil {
			return done, err
		}
		r.release(ctx, r.part)
	}
	return done, err
}

func (r *remake) try(ctx context.Context) (done remade, err error) {
	end, err := r.log.Last(ctx, r.part)
	if err != nil {
		return done, err
	}
	if r.shadow, err = r.store.Shadow(ctx, r.part); err != nil {
		return done, err
	}
	defer func() {
		if err != nil {
			r.drop(ctx)
		}
	}()
	for range rounds {
		target, err := r.store.Target(ctx, r.part)
		if err != nil {
			return done, err
		}
		if err := r.readTo(ctx, target); err != nil {
			return done, err
		}
	}
	if err := r.insist(ctx, func() error { return r.shadow.Write(ctx) }); err != nil {
		return done, err
	}
	crashpoint.Hit(crashpoint.ReplayAfterShadow)
	if err := r.seize(ctx); err != nil {
		return done, err
	}
	if done, err = r.compare(ctx); err != nil {
		return done, err
	}
	if r.only == "" {
		if err := r.readTo(ctx, end); err != nil {
			return done, err
		}
		if _, err := r.store.NoteGap(ctx, r.shadow.Fold); err != nil {
			return done, err
		}
	}
	crashpoint.Hit(crashpoint.ReplayBeforeSwap)
	if err := r.insist(ctx, func() error { return r.shadow.Swap(ctx, r.only) }); err != nil {
		return done, err
	}
	crashpoint.Hit(crashpoint.ReplayAfterSwap)
	done.Head = r.shadow.Head
	return done, nil
}

// readTo folds the log up to an entry, or to its end where that comes first.
func (r *remake) readTo(ctx context.Context, until events.ID) error {
	return r.insist(ctx, func() error {
		if until.Compare(r.shadow.Checkpoint) <= 0 {
			return nil
		}
		for page, err := range r.log.ReadAhead(ctx, r.part, r.shadow.Checkpoint, until, readBatch) {
			if err != nil {
				return err
			}
			if err := r.add(ctx, page); err != nil {
				return err
			}
		}
		return nil
	})
}

// add folds a page.
func (r *remake) add(ctx context.Context, page []eventlog.Entry) error {
	for _, e := range page {
		if r.shadow.Full(e) {
			if err := r.shadow.Write(ctx); err != nil {
				return err
			}
			crashpoint.Hit(crashpoint.ReplayMidShadow)
		}
		r.shadow.Add(e)
	}
	if r.shadow.Stale() {
		if err := r.shadow.Write(ctx); err != nil {
			return err
		}
	}
	if fresh := r.shadow.Read - r.told; fresh > 0 && r.report != nil { // one that begins anew tells nothing twice
		r.told = r.shadow.Read
		r.report(fresh)
	}
	return r.renew(ctx)
}

// seize makes the stored views stand still.
func (r *remake) seize(ctx context.Context) error {
	return r.insist(ctx, func() error {
		r.renewed = time.Now()
		err := r.store.Seize(ctx, r.part, r.id, r.cfg.LeaseTTL)
		r.holds = err == nil
		return err
	})
}

// renew extends the lease, if it is ours.
func (r *remake) renew(ctx context.Context) error {
	if !r.holds || time.Since(r.renewed) < r.cfg.LeaseTTL/4 {
		return nil
	}
	asked := time.Now()
	err := r.store.Extend(ctx, r.part, r.id, r.cfg.LeaseTTL)
	r.renewed = asked
	return err
}

// compare brings the shadow to where the stored views stand, and says in which way these are not as it is.
func (r *remake) compare(ctx context.Context) (done remade, err error) {
	stored, err := r.shadow.Old(ctx)
	switch {
	case errors.Is(err, views.ErrUnusable) && r.only != "":
		return done, fmt.Errorf("partition %d: one view needs the others: make all of them again: %w", r.part.N, err)
	case errors.Is(err, views.ErrNone):
		done.note = fmt.Sprintf("partition %d: nothing to compare with: no views were stored", r.part.N)
		return done, nil
	case errors.Is(err, views.ErrUnusable):
		done.note = fmt.Sprintf("partition %d: nothing to compare with: %s", r.part.N, err)
		return done, nil
	case err != nil:
		return done, err
	}
	if err := r.readTo(ctx, stored.Checkpoint); err != nil {
		return done, err
	}
	removed, err := r.log.Removed(ctx, r.part)
	if err != nil {
		return done, err
	}
	why := ""
	if at := r.shadow.Checkpoint; at != stored.Checkpoint {
		why = fmt.Sprintf("the stored views are those of %s, and the log gives them for %s", stored.Checkpoint, at)
	} else if stored.Missed != removed {
		why = fmt.Sprintf("%d entries were removed from the log, and the stored views miss %d", removed, stored.Missed)
	}
	if why != "" && r.only != "" {
		return done, fmt.Errorf("partition %d: %s: one view alone would count other events than the rest: make all of them again", r.part.N, why)
	}
	if why != "" {
		done.note = fmt.Sprintf("partition %d: nothing to compare with: %s", r.part.N, why)
		return done, nil
	}
	fields, err := r.shadow.Gather(ctx)
	if err != nil {
		return done, err
	}
	index, err := r.shadow.CompareIndex(ctx, stored)
	for _, d := range append(views.Compare(r.part, stored.Fields, fields), index...) {
		if r.only == "" || r.only == d.View {
			done.differences = append(done.differences, d)
		}
	}
	return done, err
}

// drop gives up a shadow that will not be swapped in.
func (r *remake) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = r.shadow.Drop(ctx) // else it ends by itself
}

// insist does what Redis left unanswered again: a connection broke, or it starts anew.
func (r *remake) insist(ctx context.Context, step func() error) error {
	for failures := 0; ; failures++ {
		at := r.shadow.Checkpoint
		err := step()
		if err == nil || !eventlog.Unavailable(err) || failures == maxFailures {
			return err
		}
		if r.shadow.Checkpoint != at {
			failures = 0
		}
		if pause.Retry(ctx, failures); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}
