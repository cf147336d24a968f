package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/search"
	"github.com/tasklog/tasklog/services/api/wire"
)

const (
	maxText     = 500  // bytes of what is searched for
	maxSearched = 2000 // rows that one page of what was found looks at
)

// taskQuery is what a listing of tasks asks for.
type taskQuery struct {
	views.Filter
	Text string // its words; empty: any
	From string // when a task last changed, at the earliest, as it was asked; empty: any
	To   string // and at the latest

	from, until int64 // ms; 0: any
	named       bool  // a name alone is searched for, too
}

// searches reports whether the listing is one of what was searched.
func (q taskQuery) searches() bool {
	return q.Text != "" || q.From != "" || q.To != "" || q.named && q.Name != ""
}

// taskQuery reads the query of a listing, which may hold more.
func (a *API) taskQuery(c *gin.Context, more ...string) (taskQuery, error) {
	v, err := query(c, append([]string{"state", "queue", "name", "cursor", "limit", "q", "from", "to"}, more...)...)
	if err != nil {
		return taskQuery{}, err
	}
	q := taskQuery{
		Filter: views.Filter{
			State: events.State(v.Get("state")), Queue: v.Get("queue"), Name: v.Get("name"), Cursor: v.Get("cursor"),
		},
		Text: strings.TrimSpace(v.Get("q")), From: v.Get("from"), To: v.Get("to"),
	}
	if limit := v.Get("limit"); limit != "" {
		if q.Limit, err = strconv.Atoi(limit); err != nil || q.Limit < 1 {
			return q, &events.FieldError{Field: "limit", Reason: "must be a whole number from 1"}
		}
	}
	if len(q.Text) > maxText {
		return q, &events.FieldError{Field: "q", Reason: fmt.Sprintf("%d bytes is longer than %d", len(q.Text), maxText)}
	}
	if q.From == "" && q.To == "" {
		return q, nil
	}
	now, err := a.log.Now(c.Request.Context())
	if err != nil {
		return q, err
	}
	if q.from, err = instant(v, "from", now); err != nil {
		return q, err
	}
	q.until, err = instant(v, "to", now)
	if q.until > 0 {
		q.until++ // what happened in the ms that was named is chosen, too
	}
	return q, err
}

// instant reads a time of a query, in ms; 0 when there is none.
func instant(v url.Values, field string, now time.Time) (int64, error) {
	s := v.Get(field)
	if s == "" {
		return 0, nil
	}
	id, err := events.ParseInstant(s, now)
	if err != nil {
		return 0, &events.FieldError{Field: field, Reason: err.Error()}
	}
	return id.Ms, nil
}

// tasks returns a page of tasks, and what was looked through when they were searched for.
func (a *API) tasks(ctx context.Context, q taskQuery) (views.Page, *wire.Search, error) {
	if q.searches() {
		return a.search(ctx, q)
	}
	page, err := a.views.Tasks(ctx, q.Filter)
	return page, nil, unusable(err)
}

// search returns a page of the tasks that a query finds, the newest change first.
func (a *API) search(ctx context.Context, q taskQuery) (page views.Page, about *wire.Search, err error) {
	limit, err := q.Check()
	if err != nil {
		return page, nil, err
	}
	after, err := parsePlace(q.Cursor)
	if err != nil {
		return page, nil, err
	}
	if about, err = a.askSearcher(ctx); err != nil {
		return page, nil, err
	}
	wanted := search.Query{Words: search.Words(q.Text), State: q.State, Queue: q.Queue, Name: q.Name, From: q.from, Until: q.until}
	page.Tasks = []events.Task{}
	for examined := 0; ; {
		hits, err := a.searcher.find(ctx, wanted, after, limit-len(page.Tasks)+1)
		if err != nil {
			return page, nil, err
		}
		more := len(hits) > limit-len(page.Tasks)
		if more {
			hits = hits[:len(hits)-1]
		}
		ids := make([]string, len(hits))
		for i, h := range hits {
			ids[i], after = h.task, h.place
		}
		tasks, err := a.views.Pick(ctx, q.Filter, ids)
		if err != nil {
			return page, nil, err
		}
		page.Tasks = append(page.Tasks, tasks...)
		examined += len(hits)
		if !more {
			return page, about, nil
		}
		if len(page.Tasks) == limit || examined >= maxSearched {
			page.Next = after.cursor()
			return page, about, nil
		}
	}
}

// askSearcher waits a moment until all that has happened by now can be found, and tells what can.
func (a *API) askSearcher(ctx context.Context) (*wire.Search, error) {
	lasts := make([]events.ID, len(a.searcher.parts))
	for i, p := range a.searcher.parts {
		var err error
		if lasts[i], err = p.ask(ctx); err != nil {
			return nil, err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, searchPatience)
	defer cancel()
	about := &wire.Search{TextBytes: search.MaxText}
	var since, newest int64
	unread := false
	for i, p := range a.searcher.parts {
		p.await(waiting, lasts[i])
		c := p.covers()
		about.Tasks += c.Tasks
		about.Bytes += c.Bytes
		about.Building = about.Building || !c.built
		unread = unread || !c.built && c.Since.IsZero()
		since, newest = max(since, c.Since.Ms), max(newest, c.Newest.Ms)
		if lasts[i].Compare(c.at) > 0 {
			about.BehindMs = max(about.BehindMs, lasts[i].Ms-c.at.Ms, 1)
		}
	}
	if !unread {
		about.Since = wire.Stamp(since)
	}
	about.AsOf = wire.Stamp(newest)
	return about, nil
}

// cursor is opaque to clients.
func (a place) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(a.at.String() + " " + strconv.Itoa(a.part)))
}

func parsePlace(s string) (place, error) {
	if s == "" {
		return place{events.MaxID, math.MaxInt}, nil
	}
	bad := &events.FieldError{Field: "cursor", Reason: "is none that this search gave"}
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return place{}, bad
	}
	left, right, _ := strings.Cut(string(data), " ")
	at, err := events.ParseID(left)
	if err != nil || !strings.Contains(left, "-") {
		return place{}, bad
	}
	part, err := strconv.ParseUint(right, 10, 16)
	if err != nil {
		return place{}, bad
	}
	return place{at, int(part)}, nil
}
