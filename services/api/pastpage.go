package api

import (
	"cmp"

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
	var behind past.Cursor
	if q.Get("cursor") != "" { // a page after the first is one of the instant of the first
		if behind, err = past.ParseCursor(q.Get("cursor")); err != nil {
			return nil, err
		}
		at.ID = behind.Until
	}
	v, err := a.viewAt(ctx, at)
	if err != nil {
		return nil, err
	}
	filter := views.Filter{State: events.State(q.Get("state")), Queue: q.Get("queue"), Name: q.Get("name")}
	list, err := past.List(v, at.ID, behind, filter)
	if err != nil {
		return nil, err
	}
	page := dashboard.PastPage{
		Base: b, At: at.ID, Newest: v.Last, Missed: v.Missed, Queues: wire.QueuesOf(&v.Queues), First: b.Now.UnixMilli(),
		Tasks: dashboard.TasksPage{
			Base: b, State: filter.State, Queue: filter.Queue, Name: filter.Name, Cursor: q.Get("cursor"), Tasks: list.Tasks, Next: list.Next,
		},
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
