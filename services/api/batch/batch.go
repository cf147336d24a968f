// Package batch retries and cancels many tasks of a queue, a page at a time.
//
// # Guarantees
//
// Each task is decided about alone, as if somebody had asked for it alone: one whose state does not allow it any
// more is told and stops no other. A decision is taken about a task once in a run through the pages, also when the
// task fails again meanwhile.
//
// # Failure
//
// When Redis does not answer, what became of a page is unknown. Asking for it again is safe: what was decided about is
// not in the state any more that was chosen.
package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
)

const (
	// MaxTasks is how many tasks a page has at the most.
	MaxTasks = 200
	// atOnce is how many decisions are under way: enough for them to share calls and round trips.
	atOnce = 32
)

// Retryable and Cancellable are the states of tasks that can be retried and cancelled, the latter in the order in which
// most tasks pass through them: who goes through them in turn misses few that move on meanwhile.
var (
	Retryable   = []events.State{events.StateFailed, events.StateCancelled}
	Cancellable = []events.State{events.StateDelayed, events.StateWaiting, events.StateDue, events.StateActive, events.StateRetrying}
)

// Deed decides about one task.
type Deed func(ctx context.Context, task string) error

// Nothing is the Deed of who only wants to know which tasks it would be about.
func Nothing(context.Context, string) error { return nil }

// Retry is eventlog.Log.Retry for each task. One Deed is one request.
func Retry(log *eventlog.Log, by string) Deed {
	request := uuid.NewString()
	return func(ctx context.Context, task string) error {
		_, err := log.Retry(ctx, task, by, request)
		return err
	}
}

// Cancel is eventlog.Log.Cancel for each task.
func Cancel(log *eventlog.Log, by, reason string) Deed {
	return func(ctx context.Context, task string) error {
		_, err := log.Cancel(ctx, task, by, reason)
		return err
	}
}

// Refusal is a task that was chosen and not changed.
type Refusal struct {
	TaskID string `json:"taskId"`
	Detail string `json:"detail"`
}

// Page is what became of some tasks.
type Page struct {
	Changed int       `json:"changed"`
	Refused []Refusal `json:"refused"`
	Next    string    `json:"next,omitempty"` // the cursor of the next page, if there may be one
}

// Do takes a decision about each task of a page of what the views list: the newest change first, of one queue and in
// one of the states that are given. The first page waits a moment for views that lag. A page with Next may be empty; see views.Page.
//
// A filter that makes no sense is an *events.FieldError. Any other error means that some of the tasks may have been
// changed.
func Do(ctx context.Context, store *views.Store, filter views.Filter, states []events.State, deed Deed) (Page, error) {
	switch {
	case filter.Queue == "":
		return Page{}, &events.FieldError{Field: "queue", Reason: "is required"}
	case filter.State == "":
		return Page{}, &events.FieldError{Field: "state", Reason: fmt.Sprintf("is required: one of %v", states)}
	case !slices.Contains(states, filter.State):
		return Page{}, &events.FieldError{Field: "state", Reason: fmt.Sprintf("%q is not one of %v", filter.State, states)}
	case filter.Limit == 0:
		filter.Limit = MaxTasks
	}
	if filter.Cursor == "" {
		if err := store.Await(ctx, views.Patience); err != nil {
			return Page{}, err
		}
	}
	list, err := store.Tasks(ctx, filter)
	if err != nil {
		return Page{}, err
	}
	page := Page{Refused: []Refusal{}, Next: list.Next}
	refused := make([]string, len(list.Tasks)) // why, without what was done
	some, ctx := errgroup.WithContext(ctx)
	some.SetLimit(atOnce)
	for i, t := range list.Tasks {
		some.Go(func() error {
			err := deed(ctx, t.ID)
			if refusal, ok := errors.AsType[*eventlog.RefusedError](err); ok {
				refused[i] = refusal.Error()
				return nil
			}
			if errors.Is(err, eventlog.ErrNotFound) {
				refused[i] = eventlog.ErrNotFound.Error()
				return nil
			}
			return err
		})
	}
	if err := some.Wait(); err != nil {
		return Page{}, err
	}
	for i, why := range refused {
		if why == "" {
			page.Changed++
		} else {
			page.Refused = append(page.Refused, Refusal{list.Tasks[i].ID, why})
		}
	}
	return page, nil
}
