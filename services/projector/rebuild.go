package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
)

// Options say what a rebuild does. The zero Options make every view.
type Options struct {
	// Only is the name of a view that alone is made again, at the checkpoint at which all views stand.
	Only string
	// Progress, which may be nil, is told entries done and expected, from one goroutine at a time.
	Progress func(done, total int64)
}

// Summary tells what a rebuild did.
type Summary struct {
	Partitions int
	Entries    int64 // of the log, read
	Skipped    int64 // of these, no events
	Missed     int64 // entries that had been removed from the log: the views count what is left
	// Differences are the fields in which the stored views were not as the log gives them, where they stood.
	Differences []views.Difference
	// Notes say where they could not be compared, and why.
	Notes []string
	Took  time.Duration
}

// Rebuild makes the views again from the log and puts them in the place of the stored ones, each partition in one
// step. They reach the end that the log has when Rebuild begins, or with Only where the stored ones stand.
// Projectors and readers may run meanwhile: these read the old views until the new ones are there, those go on
// with the new ones, and store nothing in between for at most some two seconds.
//
// After an error, or when ctx ends, a partition has its old views or the new ones. What is left of a Rebuild
// that was killed the next one sweeps, or any projector that starts. Two at once make the same views.
func Rebuild(ctx context.Context, log *eventlog.Log, o Options) (Summary, error) {
	began := time.Now()
	if o.Only != "" && !slices.Contains(views.Views(), o.Only) {
		return Summary{}, &events.FieldError{Field: "only", Reason: fmt.Sprintf("%q is not one of %v", o.Only, views.Views())}
	}
	p, err := New(log, Config{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return Summary{}, err
	}
	var total int64
	for _, part := range log.Partitions() {
		n, err := log.Entries(ctx, part)
		if err != nil {
			return Summary{}, fmt.Errorf("rebuild: %w", err)
		}
		total += n
	}
	var mu sync.Mutex
	var done int64
	report := func(read int64) {
		mu.Lock()
		defer mu.Unlock()
		done += read
		if o.Progress != nil {
			o.Progress(min(done, total), total)
		}
	}
	var wg sync.WaitGroup
	results := make([]remade, len(log.Partitions()))
	errs := make([]error, len(log.Partitions()))
	for i, part := range log.Partitions() {
		r := remake{Projector: p, part: part, only: o.Only, report: report}
		wg.Go(func() { results[i], errs[i] = r.rebuild(ctx) })
	}
	wg.Wait()
	sum := Summary{Partitions: len(results), Took: time.Since(began)}
	for _, r := range results {
		sum.Entries += r.Read
		sum.Skipped += r.Skipped
		sum.Missed += r.Missed
		sum.Differences = append(sum.Differences, r.differences...)
		if r.note != "" {
			sum.Notes = append(sum.Notes, r.note)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return sum, fmt.Errorf("rebuild: %w", err)
	}
	return sum, nil
}

// rebuild makes the views of a partition again, and sweeps what the old ones leave.
func (r *remake) rebuild(ctx context.Context) (remade, error) {
	defer r.release(ctx, r.part)
	done, err := r.run(ctx)
	if err != nil {
		return done, err
	}
	r.release(ctx, r.part) // projectors need not wait for the rest
	return done, r.store.Sweep(ctx, r.part, done.Generation)
}
