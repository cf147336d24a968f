package projector

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
)

const (
	maxPending  = 32 << 20              // bytes of views from which on no other one is taken until they are kept
	recordSlice = 50 * time.Millisecond // how long the views wait, at the most, while old entries are read
	recordAgain = time.Minute           // how long no snapshots are made after an error
)

// A recorder makes snapshots of a partition while the follower that owns it keeps the views: of what that folds it
// reads nothing again. It fails alone: the views go on.
//
// When a snapshot is due follows from the log and the Config alone, as long as Redis keeps up with them.
type recorder struct {
	*Projector
	part  eventlog.Partition
	past  *past.Store
	pages *eventlog.Pages

	moment past.Moment // how things stand; without a View before it was loaded
	begin  int64       // ms: the entry of the last snapshot, or else the first one that was read
	since  int64       // entries since then
	failed time.Time   // when something went wrong

	pending []taken
	size    int // bytes of these
	keeping sync.WaitGroup
	kept    chan error // what came of those that were pending; has room for one
	busy    bool       // kept is still to be heard of
}

// taken is an encoded view and the last entry that is in it.
type taken struct {
	after events.ID
	view  []byte
}

func newRecorder(p *Projector, part eventlog.Partition) *recorder {
	return &recorder{Projector: p, part: part, past: past.New(p.log), pages: p.log.Pages(readBatch), kept: make(chan error, 1)}
}

// behind reports whether entries up to the checkpoint of the views are still to be read.
func (r *recorder) behind(checkpoint events.ID) bool {
	return r.moment.View != nil && r.moment.After.Compare(checkpoint) < 0
}

// follow counts the entry that the views folded after another one, if the recorder is there, too.
func (r *recorder) follow(before events.ID, e eventlog.Entry) {
	if r.moment.View != nil && r.moment.After == before {
		r.add(e)
	}
}

// add counts the next entry; before that it takes a snapshot when one is due.
func (r *recorder) add(e eventlog.Entry) {
	if r.begin == 0 {
		r.begin = e.ID.Ms
	}
	if r.size < maxPending && r.cfg.due(r.since, e.ID.Ms-r.begin, r.moment.Len()) {
		t := taken{r.moment.After, r.moment.Encode()}
		r.pending, r.size = append(r.pending, t), r.size+len(t.view)
		r.begin, r.since = r.moment.After.Ms, 0
	}
	r.since++
	r.moment.Add(e)
}

// due reports whether a snapshot is to be taken so many entries and ms after the last, of so many tasks.
func (c Config) due(since, ms int64, tasks int) bool {
	return since > 0 && since >= int64(c.SnapshotRatio)*int64(tasks) && (since >= int64(c.SnapshotEvery) || ms >= c.SnapshotAge.Milliseconds())
}

// step goes on with what does not come by itself: it begins where the newest snapshot ends, reads some of what the
// views folded before, and has snapshots kept.
func (r *recorder) step(ctx context.Context, checkpoint events.ID) {
	if time.Since(r.failed) < recordAgain {
		return
	}
	err := r.begun(ctx)
	for began := time.Now(); err == nil && r.behind(checkpoint) && r.size < maxPending && time.Since(began) < recordSlice; {
		err = r.read(ctx, checkpoint)
	}
	select {
	case keptErr := <-r.kept:
		r.busy, err = false, errors.Join(err, keptErr)
	default:
	}
	if err != nil {
		r.fail(ctx, err)
		return
	}
	if !r.busy && len(r.pending) > 0 {
		list := r.pending
		r.pending, r.size, r.busy = nil, 0, true
		r.keeping.Go(func() { r.kept <- r.keep(ctx, list) })
	}
}

// begun loads the newest snapshot, unless that was done.
func (r *recorder) begun(ctx context.Context) error {
	if r.moment.View != nil {
		return nil
	}
	if _, err := r.past.Sweep(ctx, r.part); err != nil {
		return err
	}
	m, err := r.past.Nearest(ctx, r.part, events.MaxID)
	if err != nil {
		return err
	}
	err = r.past.NoteGap(ctx, r.part, &m, events.MaxID)
	if gap, ok := errors.AsType[*past.UncoveredError](err); ok {
		m.Missed = gap.Removed // and nothing is left of the log
	} else if err != nil {
		return err
	}
	r.moment, r.begin, r.since = m, m.After.Ms, 0
	return nil
}

// read reads the next entries up to the checkpoint of the views.
func (r *recorder) read(ctx context.Context, checkpoint events.ID) error {
	entries, more, err := r.pages.Range(ctx, r.part, r.moment.After, checkpoint)
	if err != nil {
		return err
	}
	for _, e := range entries {
		r.add(e)
	}
	if !more {
		r.moment.After = checkpoint // also where that entry is gone
	}
	return nil
}

// keep keeps snapshots, and removes those that are of no use any more.
func (r *recorder) keep(ctx context.Context, list []taken) error {
	for _, t := range list {
		size, err := r.past.Keep(ctx, r.part, t.after, t.view)
		if err != nil {
			return err
		}
		r.metrics.snapshotAt.WithLabelValues(label(r.part.N)).Set(float64(t.after.Ms) / 1000)
		r.metrics.snapshotBytes.WithLabelValues(label(r.part.N)).Set(float64(size))
	}
	_, err := r.past.Sweep(ctx, r.part)
	return err
}

// fail says what went wrong. Some time later the recorder begins anew.
func (r *recorder) fail(ctx context.Context, err error) {
	r.moment, r.pending, r.size = past.Moment{}, nil, 0
	if ctx.Err() != nil {
		return
	}
	r.failed = time.Now()
	r.metrics.failures.Inc()
	r.slog.LogAttrs(ctx, slog.LevelWarn, "no snapshots are made for a minute",
		slog.Int("partition", r.part.N), slog.Any("error", err))
}

// close waits until nothing is being kept. The context of the steps must be over.
func (r *recorder) close() {
	r.keeping.Wait()
}
