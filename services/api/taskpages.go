package api

import (
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/wire"
)

// tasksPage reads GET /admin/tasks.
func (a *API) tasksPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	filter, err := a.taskQuery(c)
	if err != nil {
		return nil, err
	}
	list, _, err := a.tasks(c.Request.Context(), filter)
	if err != nil {
		return nil, err
	}
	return dashboard.TasksPage{
		Base: b, State: filter.State, Queue: filter.Queue, Name: filter.Name, Cursor: filter.Cursor,
		Tasks: list.Tasks, Next: list.Next,
	}, nil
}

// taskPage reads GET /admin/tasks/:id.
func (a *API) taskPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	t, history, err := a.taskAndHistory(c)
	if err != nil {
		return nil, err
	}
	o := wire.OutcomeOf(history)
	page := dashboard.TaskPage{Base: b, Task: t, Payload: "null", Result: indent(o.Result), Error: o.Error}
	if t.Payload != nil {
		page.Payload = indent(t.Payload)
	}
	before := int64(-1)
	for _, e := range history {
		_, _, data, err := events.Encode(e.Data)
		if err != nil {
			return nil, err
		}
		entry := dashboard.Entry{Event: e, Stream: a.log.Of(t.ID).Events, After: -1, JSON: indent(data)}
		if before >= 0 {
			entry.After = e.ID.Ms - before
		}
		before = e.ID.Ms
		page.Timeline = append(page.Timeline, entry)
	}
	return page, nil
}

// movedTaskPage leads from where the page of a task was before.
func movedTaskPage(c *gin.Context) {
	c.Redirect(http.StatusMovedPermanently, "/admin/tasks/"+url.PathEscape(param(c, "id")))
}
