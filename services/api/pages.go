package api

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/wire"
)

// taskPage serves GET /admin/queues/tasks/:id.
func (a *API) taskPage(c *gin.Context) {
	page, err := a.readTaskPage(c)
	if err != nil {
		a.failPage(c, err)
		return
	}
	a.page(c, http.StatusOK, func(w io.Writer) error { return a.pages.Task(w, page) })
}

func (a *API) readTaskPage(c *gin.Context) (dashboard.TaskPage, error) {
	t, history, err := a.taskAndHistory(c)
	page := dashboard.TaskPage{Base: base(c, time.Time{}), Task: t}
	if err != nil {
		return page, err
	}
	o := wire.OutcomeOf(history)
	page.Result, page.Error = indent(o.Result), o.Error
	page.Task.Payload = json.RawMessage(indent(t.Payload))
	for _, e := range history {
		_, _, data, err := events.Encode(e.Data)
		if err != nil {
			return page, err
		}
		page.Events = append(page.Events, dashboard.Event{Event: e, JSON: indent(data)})
	}
	return page, nil
}

// newestEvents returns the n newest events of all partitions, newest first.
func (a *API) newestEvents(c *gin.Context, n int) ([]events.Event, error) {
	var all []events.Event
	for _, p := range a.log.Partitions() {
		entries, err := a.log.RangeBack(c.Request.Context(), p, events.MaxID, n)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Err == nil { // whoever follows the log counts the others
				all = append(all, e.Event)
			}
		}
	}
	slices.SortStableFunc(all, func(x, y events.Event) int { return y.ID.Compare(x.ID) })
	return all[:min(n, len(all))], nil
}

func base(c *gin.Context, now time.Time) dashboard.Base {
	return dashboard.Base{Now: now, Host: c.Request.Host}
}

// maxShown is how many bytes of JSON a page shows; GET /api/tasks/:id has all of it.
const maxShown = 64 << 10

// indent spreads JSON over lines for people.
func indent(data []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		b.Reset()
		b.Write(data)
	}
	if b.Len() > maxShown {
		b.Truncate(maxShown)
		b.WriteString("\n…")
	}
	return b.String()
}

// page renders a page in full before it sends the first byte of it.
func (a *API) page(c *gin.Context, status int, render func(w io.Writer) error) {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		a.fail(c, err)
		return
	}
	c.Data(status, "text/html; charset=utf-8", b.Bytes())
}

// failPage is fail for people: a page that says what is wrong, and that updates itself.
func (a *API) failPage(c *gin.Context, err error) {
	p := a.judge(c, err)
	if p == nil {
		return
	}
	a.page(c, p.Status, func(w io.Writer) error {
		return a.pages.Notice(w, dashboard.NoticePage{Base: base(c, time.Time{}), Title: p.Title, Detail: p.Detail})
	})
}

// asset serves GET /admin/assets/:file.
func (a *API) asset(c *gin.Context) {
	data, mediaType, ok := a.pages.Asset(param(c, "file"))
	if !ok {
		a.fail(c, notFound("there is no such file"))
		return
	}
	c.Data(http.StatusOK, mediaType, data)
}
