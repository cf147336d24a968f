package api

import (
	"cmp"
	"context"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/wire"
)

// pastPage reads GET /admin/past.
func (a *API) pastPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	ctx := c.Request.Context()
	q, err := query(c, "at", "state", "queue", "name", "cursor")
	if err != nil {
		return nil, err
	}
	at, err := a.momentOf(c, cmp.Or(q.Get("at"), "now"))
	if err != nil {
		return nil, err
	}
	filter := views.Filter{State: events.State(q.Get("state")), Queue: q.Get("queue"), Name: q.Get("name"), Cursor: q.Get("cursor")}
	page := dashboard.PastPage{Base: b, At: at.ID, First: b.Now.UnixMilli()}
	if q.Get("at") == "" && filter.Cursor == "" {
		err = a.untilNow(ctx, &page, filter)
	} else {
		err = a.until(ctx, &page, at, filter)
	}
	if err != nil {
		return nil, err
	}
	for _, p := range a.log.Partitions() {
		info, err := a.log.Info(ctx, p)
		if err != nil {
			return nil, err
		}
		if !info.First.IsZero() {
			page.First = min(page.First, info.First.Ms)
		}
	}
	return page, nil
}

// untilNow fills a page for which nobody chose an instant yet: from the views, for the log is long.
func (a *API) untilNow(ctx context.Context, page *dashboard.PastPage, filter views.Filter) (err error) {
	page.Present = true
	var fresh views.Freshness
	if page.Queues, fresh, err = a.queues(ctx); err != nil {
		return err
	}
	page.Missed = fresh.Missed()
	page.Tasks, err = a.tasksOf(ctx, page.Base, taskQuery{Filter: filter, named: true})
	page.Tasks.Next = "" // its cursor is none of the past
	return err
}

// until fills a page as of an instant.
func (a *API) until(ctx context.Context, page *dashboard.PastPage, at *moment, filter views.Filter) (err error) {
	var behind past.Cursor
	if filter.Cursor != "" { // a page after the first is one of the instant of the first
		if behind, err = past.ParseCursor(filter.Cursor); err != nil {
			return err
		}
		at.ID = behind.Until
	}
	v, err := a.viewAt(ctx, at)
	if err != nil {
		return err
	}
	list, err := past.List(v, at.ID, behind, filter)
	if err != nil {
		return err
	}
	wrong, err := a.log.Errors(ctx, list.Tasks)
	if err != nil {
		return err
	}
	page.At, page.Newest, page.Missed, page.Queues = at.ID, v.Last, v.Missed, wire.QueuesOf(&v.Queues)
	page.Tasks = dashboard.TasksPage{
		Base: page.Base, State: filter.State, Queue: filter.Queue, Name: filter.Name, Cursor: filter.Cursor,
		Tasks: list.Tasks, Errors: wrong, Next: list.Next,
	}
	return nil
}
