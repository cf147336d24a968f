package api

import (
	"context"
	"fmt"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/wire"
)

const (
	newestShown = 10 // events that the overview shows
	queueTasks  = 20 // tasks that the page of a queue lists at a time
)

// overviewPage reads GET /admin/queues.
func (a *API) overviewPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	ctx := c.Request.Context()
	q, err := query(c, "queue", "failing", "sort", "order", "window")
	if err != nil {
		return nil, err
	}
	view, err := a.views.Overview(ctx)
	if err != nil {
		return nil, unusable(err)
	}
	page := dashboard.Overview{
		Base: b, Totals: queues.Counts{}, Missed: view.Missed(),
		Ask: dashboard.QueueFilter{
			Name: q.Get("queue"), Failing: q.Get("failing") != "", Sort: q.Get("sort"), Up: q.Get("order") == "up",
		},
	}
	all, err := a.queuesOf(ctx, view, b)
	if err != nil {
		return nil, err
	}
	for _, q := range all {
		for state, n := range q.Counts {
			page.Totals[state] += n
		}
	}
	page.All, page.Queues = len(all), page.Ask.Choose(all)
	if page.Charts, err = a.charts(ctx, "", q.Get("window")); err != nil {
		return nil, err
	}
	if page.Events, _, err = a.piece(ctx, false, events.MaxID, newestShown); err != nil {
		return nil, err
	}
	page.Events = slices.DeleteFunc(page.Events, func(e dashboard.Entry) bool { return e.Data == nil })
	page.Events = page.Events[:min(newestShown, len(page.Events))]
	workers, _, err := a.workers(ctx)
	if err != nil {
		return nil, err
	}
	page.Workers = &dashboard.WorkersPage{Base: b, Workers: workers}
	system, err := a.system(ctx)
	page.System = &system
	return page, err
}

// queuePage reads GET /admin/queues/:queue.
func (a *API) queuePage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	ctx, name := c.Request.Context(), param(c, "queue")
	q, err := query(c, "state", "cursor", "window")
	if err != nil {
		return nil, err
	}
	view, err := a.views.Overview(ctx)
	if err != nil {
		return nil, unusable(err)
	}
	page := dashboard.QueuePage{Base: b}
	all, err := a.queuesOf(ctx, view, b)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(q dashboard.Queue) bool { return q.Name == name })
	if i < 0 {
		return nil, notFound("there is no such queue: a queue is there with its first task")
	}
	page.Queue = all[i]
	if page.Charts, err = a.charts(ctx, name, q.Get("window")); err != nil {
		return nil, err
	}
	list, since, _, err := a.views.Names(ctx, name)
	if err != nil {
		return nil, unusable(err)
	}
	page.Names, page.Since = dashboard.WorstFirst(list), since.UnixMilli()
	page.Tasks, err = a.tasksOf(ctx, b, taskQuery{Filter: views.Filter{State: events.State(q.Get("state")), Queue: name, Cursor: q.Get("cursor"), Limit: queueTasks}})
	return page, err
}

// workersPage reads GET /admin/workers.
func (a *API) workersPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	if _, err := query(c); err != nil {
		return nil, err
	}
	list, _, err := a.workers(c.Request.Context())
	return dashboard.WorkersPage{Base: b, Workers: list}, err
}

// queuesOf returns every queue of a view, by name.
func (a *API) queuesOf(ctx context.Context, view views.Overview, b dashboard.Base) ([]dashboard.Queue, error) {
	present, err := a.log.Present(ctx, a.log.Partitions()[0]) // workers tell every partition
	if err != nil {
		return nil, err
	}
	all := []dashboard.Queue{}
	for _, q := range wire.QueuesOf(view.Queues) {
		one := dashboard.Queue{Name: q.Queue, Paused: q.Paused, Counts: q.Counts, Recent: view.Queues.Get(q.Queue).Recent.Until(b.Now)}
		if at, ok := view.Oldest[q.Queue]; ok {
			one.Oldest = at.UnixMilli()
		}
		one.Served = slices.ContainsFunc(present, func(w eventlog.Presence) bool { return w.Serves(one.Name, b.Now) })
		all = append(all, one)
	}
	return all, nil
}

// charts reads what happened in a queue, or in all, in a window of dashboard.Windows; empty means an hour.
func (a *API) charts(ctx context.Context, queue, window string) (dashboard.Charts, error) {
	if window == "" {
		window = "1h"
	}
	for _, w := range dashboard.Windows {
		if w.Name != window {
			continue
		}
		series, _, err := a.views.Series(ctx, queue, w.Length)
		return dashboard.Charts{Window: window, Series: series}, unusable(err)
	}
	return dashboard.Charts{}, &events.FieldError{Field: "window", Reason: fmt.Sprintf("%q is none of %v", window, dashboard.Charts{}.Windows())}
}
