package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/wire"
)

// tasksPage reads GET /admin/tasks.
func (a *API) tasksPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	q, err := a.taskQuery(c)
	if err != nil {
		return nil, err
	}
	q.named = true // the index of a listing does not know names: it would read row after row
	return a.tasksOf(c.Request.Context(), b, q)
}

// tasksOf reads a page of a list of tasks.
func (a *API) tasksOf(ctx context.Context, b dashboard.Base, q taskQuery) (dashboard.TasksPage, error) {
	list, about, err := a.tasks(ctx, q)
	if err != nil {
		return dashboard.TasksPage{}, err
	}
	wrong, err := a.log.Errors(ctx, list.Tasks)
	return dashboard.TasksPage{
		Base: b, State: q.State, Queue: q.Queue, Name: q.Name, Cursor: q.Cursor, Text: q.Text, From: q.From, To: q.To,
		Tasks: list.Tasks, Errors: wrong, Next: list.Next, Search: about,
	}, err
}

// taskPage reads GET /admin/tasks/:id.
func (a *API) taskPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	t, err := a.taskAndHistory(c)
	if err != nil {
		return nil, err
	}
	d, err := wire.DetailOf(t.task, t.history, t.gone)
	if err != nil {
		return nil, err
	}
	page := dashboard.TaskPage{
		Base: b, Task: t.task, Defined: wire.Defined(t.task), Gone: t.gone,
		Payload: indent(d.Payload), Result: indent(d.Result), Error: d.Error,
	}
	before, part := int64(-1), a.log.Of(t.task.ID)
	for _, e := range t.history {
		_, _, data, err := events.Encode(e.Data)
		if err != nil {
			return nil, err
		}
		entry := dashboard.Entry{Event: e, Part: part.N, Stream: part.Events, After: -1, JSON: indent(data)}
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
