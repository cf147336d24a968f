package api

import (
	"context"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/dashboard"
)

const (
	maxEvents = 50      // that a page shows
	maxLooked = 500     // entries of each partition that a page with a filter looks at
	maxBody   = 4 << 10 // bytes of its JSON

	// A page ends where so many bytes of the log were looked at, of all partitions or of one, whichever is more.
	lookedBytes    = 8 << 20
	lookedPerShard = 1 << 19
)

// eventsPage reads GET /admin/events.
func (a *API) eventsPage(c *gin.Context, b dashboard.Base) (dashboard.Page, error) {
	q, err := query(c, "task", "queue", "type", "from", "before")
	if err != nil {
		return nil, err
	}
	page := dashboard.EventsPage{
		Base: b, From: q.Get("from"), Before: q.Get("before"),
		Task: q.Get("task"), Queue: q.Get("queue"), Type: events.Type(q.Get("type")),
	}
	if page.Type != "" && !slices.Contains(events.Types, page.Type) {
		return nil, &events.FieldError{Field: "type", Reason: quoted(string(page.Type)) + " is no event type"}
	}
	at := events.MaxID
	for field, from := range map[string]string{"from": page.From, "before": page.Before} {
		if from == "" {
			continue
		}
		if at, err = events.ParseInstant(from, b.Now); err != nil {
			return nil, &events.FieldError{Field: field, Reason: err.Error()}
		}
	}
	limit := maxEvents
	if page.Filters() {
		limit = maxLooked
	}
	read, goesOn, err := a.piece(c.Request.Context(), page.From != "", at, limit)
	if err != nil {
		return nil, err
	}
	for i, e := range read {
		if page.Looked = i + 1; e.Data != nil && page.Matches(e.Event) {
			if err := show(&e); err != nil {
				return nil, err
			}
			page.Entries = append(page.Entries, e)
		}
		if i+1 == len(read) && goesOn {
			page.Next = e.ID.String()
		}
		more := i+1 < len(read) && read[i+1].ID != e.ID // what shares an id, in other partitions, stays together
		if more && (len(page.Entries) >= maxEvents || i+1 >= limit) {
			page.Next = e.ID.String()
			break
		}
	}
	return page, nil
}

// show gives an entry the beginning of its body.
func show(e *dashboard.Entry) error {
	_, _, data, err := events.Encode(e.Data)
	if e.JSON = indent(data); len(e.JSON) > maxBody {
		e.JSON = strings.ToValidUTF8(e.JSON[:maxBody], "") + "\n…"
	}
	return err
}

// piece reads somewhat more than n entries of the log after an id, oldest first; or before it, newest first.
// The first n are those that there are in all partitions. Where they are long it reads fewer, and goesOn.
func (a *API) piece(ctx context.Context, forward bool, at events.ID, n int) (all []dashboard.Entry, goesOn bool, err error) {
	order := func(x, y events.ID) int {
		if forward {
			return x.Compare(y)
		}
		return y.Compare(x)
	}
	parts, pages := a.log.Partitions(), a.log.Pages(n+1)
	pages.Bytes = max(lookedBytes/len(parts), lookedPerShard)
	var edge events.ID // up to here all partitions were read, where one of them goes on
	for _, p := range parts {
		from, looked, bytes, more := at, 0, 0, true
		for more && looked <= n && bytes < pages.Bytes {
			var read []eventlog.Entry
			if forward {
				read, more, err = pages.Range(ctx, p, from, events.MaxID)
			} else {
				read, more, err = pages.RangeBack(ctx, p, from)
			}
			if err != nil {
				return nil, false, err
			}
			for _, e := range read {
				if e.Err != nil { // it has a place and no data; whoever follows the log counts it
					e.Data = nil
				}
				all = append(all, dashboard.Entry{Event: e.Event, Part: p.N, Stream: p.Events, After: -1})
				from, looked, bytes = e.ID, looked+1, bytes+e.Size()
			}
		}
		if more && looked <= n && (!goesOn || order(from, edge) < 0) {
			edge, goesOn = from, true
		}
	}
	if goesOn {
		all = slices.DeleteFunc(all, func(e dashboard.Entry) bool { return order(e.ID, edge) > 0 })
	}
	slices.SortStableFunc(all, func(x, y dashboard.Entry) int { return order(x.ID, y.ID) })
	return all, goesOn, nil
}
