package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/wire"
)

// listTasks serves GET /api/tasks.
func (a *API) listTasks(c *gin.Context) {
	q, err := a.taskQuery(c, "at")
	if err != nil {
		a.fail(c, err)
		return
	}
	at, err := a.momentOf(c, c.Query("at"))
	if err != nil {
		a.fail(c, err)
		return
	}
	if at != nil {
		a.listTasksAt(c, at, q)
		return
	}
	page, searched, err := a.tasks(c.Request.Context(), q)
	if err != nil {
		a.fail(c, err)
		return
	}
	wrong, err := a.log.Errors(c.Request.Context(), page.Tasks)
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		Tasks  []wire.Task  `json:"tasks"`
		Next   string       `json:"next,omitempty"`   // the cursor of the next page, if there is one
		Search *wire.Search `json:"search,omitempty"` // what was looked through, with q, from or to
	}{wire.TasksOf(page.Tasks, wrong), page.Next, searched})
}

// listQueues serves GET /api/queues.
func (a *API) listQueues(c *gin.Context) {
	q, err := query(c, "at")
	if err != nil {
		a.fail(c, err)
		return
	}
	at, err := a.momentOf(c, q.Get("at"))
	if err != nil {
		a.fail(c, err)
		return
	}
	if at != nil {
		a.listQueuesAt(c, at)
		return
	}
	list, fresh, err := a.queues(c.Request.Context())
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		Queues []wire.Queue `json:"queues"`
		counted
	}{list, countedOf(fresh)})
}

// counted is what every answer from views has beside what they say.
type counted struct {
	AsOf   string `json:"asOf,omitempty"` // time of the newest event that is counted
	Missed int64  `json:"missed"`         // entries removed from the log before they were counted
}

func countedOf(f views.Freshness) counted {
	c := counted{Missed: f.Missed()}
	if !f.Newest.IsZero() {
		c.AsOf = wire.Stamp(f.Newest.UnixMilli())
	}
	return c
}

// queues returns the counts of every queue, by name.
func (a *API) queues(ctx context.Context) ([]wire.Queue, views.Freshness, error) {
	view, fresh, err := a.views.Queues(ctx)
	if err != nil {
		return nil, fresh, unusable(err)
	}
	return wire.QueuesOf(view), fresh, nil
}

// unusable says what helps when there are no views to read.
func unusable(err error) error {
	if !errors.Is(err, views.ErrUnusable) {
		return err
	}
	p := newProblem(http.StatusServiceUnavailable, "no-views", "The views are being made",
		"a projector makes them from the log; is one running?")
	p.retryAfter = 2
	return p
}
