package api

import (
	"context"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/services/api/dashboard"
)

// newestShown is how many events the overview shows.
const newestShown = 10

// overviewPage reads GET /admin/queues.
func (a *API) overviewPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	q, err := query(c, "queue", "failing", "sort", "order")
	if err != nil {
		return nil, err
	}
	list, fresh, err := a.queues(c.Request.Context())
	if err != nil {
		return nil, err
	}
	page := dashboard.Overview{Base: b, All: len(list), Totals: queues.Counts{}, Missed: fresh.Missed(), Ask: dashboard.QueueFilter{
		Name: q.Get("queue"), Failing: q.Get("failing") != "", Sort: q.Get("sort"), Up: q.Get("order") == "up",
	}}
	all := make([]dashboard.Queue, 0, len(list))
	for _, q := range list {
		all = append(all, dashboard.Queue{Name: q.Queue, Paused: q.Paused, Counts: q.Counts, Totals: q.Totals})
		for state, n := range q.Counts {
			page.Totals[state] += n
		}
	}
	page.Queues = page.Ask.Choose(all)
	page.Events, err = a.newestEvents(c.Request.Context(), newestShown)
	return page, err
}

// newestEvents returns the n newest events of all partitions, newest first.
func (a *API) newestEvents(ctx context.Context, n int) ([]dashboard.Entry, error) {
	var all []dashboard.Entry
	for _, p := range a.log.Partitions() {
		entries, err := a.log.RangeBack(ctx, p, events.MaxID, n)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Err == nil { // whoever follows the log counts the others
				all = append(all, dashboard.Entry{Event: e.Event, Stream: p.Events, After: -1})
			}
		}
	}
	slices.SortStableFunc(all, func(x, y dashboard.Entry) int { return y.ID.Compare(x.ID) })
	return all[:min(n, len(all))], nil
}
