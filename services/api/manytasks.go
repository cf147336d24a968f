package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/batch"
)

// retryMany serves POST /api/tasks/retry.
func (a *API) retryMany(c *gin.Context) {
	filter := views.Filter{State: events.StateFailed}
	a.many(c, &filter, batch.Retryable, nil, func() batch.Deed { return batch.Retry(a.log, by(c)) })
}

// cancelMany serves POST /api/tasks/cancel.
func (a *API) cancelMany(c *gin.Context) {
	var filter views.Filter
	var reason string
	a.many(c, &filter, batch.Cancellable, &reason, func() batch.Deed { return batch.Cancel(a.log, by(c), reason) })
}

// many takes a decision about each task of a page that the body chooses.
func (a *API) many(c *gin.Context, filter *views.Filter, states []events.State, reason *string, deed func() batch.Deed) {
	dry, err := manyBody(c, filter, reason)
	if err != nil {
		a.fail(c, err)
		return
	}
	do := batch.Deed(batch.Nothing)
	if !dry {
		do = deed()
	}
	page, err := batch.Do(c.Request.Context(), a.views, *filter, states, do)
	if err == nil && page.Changed+len(page.Refused) == 0 {
		err = a.knownQueue(c.Request.Context(), filter.Queue) // or its name is mistyped
	}
	if err != nil {
		a.fail(c, unusable(err))
		return
	}
	answer(c, http.StatusOK, page)
}

// knownQueue returns a problem when no task was ever asked for in a queue.
func (a *API) knownQueue(ctx context.Context, queue string) error {
	known, err := a.log.HasQueue(ctx, queue)
	if err == nil && !known {
		err = notFound(fmt.Sprintf("queue %s: nobody ever asked for a task in it", queue))
	}
	return err
}

// manyBody reads which tasks a request is about, and whether it only asks.
func manyBody(c *gin.Context, filter *views.Filter, reason *string) (dry bool, err error) {
	targets := map[string]any{
		"queue": &filter.Queue, "name": &filter.Name, "state": (*string)(&filter.State), "limit": &filter.Limit, "cursor": &filter.Cursor, "dryRun": &dry,
	}
	if reason != nil {
		targets["reason"] = reason
	}
	filter.Limit = batch.MaxTasks
	if err := optionalBody(c, targets); err != nil {
		return dry, err
	}
	if filter.Limit == 0 {
		return dry, &events.FieldError{Field: "limit", Reason: "must be a whole number from 1"}
	}
	if reason != nil {
		return dry, validReason(*reason)
	}
	return dry, nil
}
