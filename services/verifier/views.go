package verifier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/views"
)

// prepare reads the stored views as they are at the beginning: the log is folded as far as they are, and
// then they are compared.
func (v *partition) prepare(ctx context.Context) error {
	if v.begin.removed() > 0 {
		return nil // they count what is not there any more
	}
	stored, err := v.store.Stored(ctx, v.part)
	if err != nil && !errors.Is(err, views.ErrUnusable) {
		return err
	}
	v.fold, v.fields = views.Begin(v.part), map[string]map[string]string{}
	if err == nil {
		v.stored = &stored
	}
	return nil
}

// meet compares the stored views, if next is the first entry that they do not have.
func (v *partition) meet(next events.ID) {
	if v.stored == nil || next.Compare(v.stored.Checkpoint) <= 0 {
		return
	}
	v.fold.Fields(v.fields)
	v.wrong = v.compare(*v.stored)
	v.stored = nil
}

// compare returns in which way stored views differ from those that the log gives.
func (v *partition) compare(stored views.Stored) []Difference {
	v.compared.Views = 0
	var wrong []Difference
	add := func(view, format string, args ...any) {
		wrong = append(wrong, Difference{v.part.View(view), fmt.Sprintf(format, args...)})
	}
	if v.at != stored.Checkpoint {
		add("head", "the checkpoint is %s, and the log has no such entry", stored.Checkpoint)
	}
	have, want := stored.Head, v.fold.Head
	if have.Read != want.Read || have.Skipped != want.Skipped || have.Missed != 0 {
		add("head", "it says %d entries read, %d skipped, %d missed, and the log gives %d, %d, 0",
			have.Read, have.Skipped, have.Missed, want.Read, want.Skipped)
	}
	for _, fields := range v.fields {
		v.compared.Views += int64(len(fields))
	}
	for _, d := range views.Compare(v.part, stored.Fields, v.fields) {
		add(d.View, "%s", d)
	}
	return wrong
}

// views compares the views once more, now that the log was read, and then the index.
func (v *partition) views(ctx context.Context) error {
	if v.fold == nil {
		return nil
	}
	v.meet(events.MaxID) // a checkpoint behind the end of the log
	stored, err := v.settledViews(ctx)
	switch {
	case errors.Is(err, views.ErrNone) && v.at.IsZero():
		return nil
	case errors.Is(err, views.ErrNone):
		v.note("no projector has made views yet")
		return nil
	case errors.Is(err, views.ErrUnusable):
		v.differ(v.part.View("head"), "%s", err)
		return nil
	case err != nil:
		return err
	}
	if stored.Checkpoint.Compare(v.at) >= 0 {
		if err := v.follow(ctx, stored.Checkpoint, false); err != nil {
			return err
		}
		v.stored = &stored
		v.meet(events.MaxID)
	} else {
		v.note("the views are those of %s, and the log is at %s: does a projector run?", stored.Checkpoint, v.at)
	}
	for _, d := range v.wrong {
		v.differ(d.Key, "%s", d.Text)
	}
	return v.index(ctx)
}

// settledViews reads the stored views, and waits a little for a projector to bring them to where the log was
// read to.
func (v *partition) settledViews(ctx context.Context) (stored views.Stored, err error) {
	const step = 50 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		stored, err = v.store.Stored(ctx, v.part)
		if err != nil || stored.Checkpoint.Compare(v.at) >= 0 || waited >= v.cfg.Patience {
			return stored, err
		}
		pause.For(ctx, step)
	}
}
