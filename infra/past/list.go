package past

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/asof"
)

// Page is some tasks of the past, the newest change first.
type Page struct {
	Tasks []events.Task // outlines: of their events the first and the last
	Next  string        // the cursor of the next page; empty when this is the last
}

// Cursor is a place in a list of tasks as they were at an instant. What happens meanwhile does not move it.
type Cursor struct {
	Until events.ID // the instant
	ms    int64
	task  string
}

// ParseCursor reads a Page.Next. Anything else is an *events.FieldError.
func ParseCursor(s string) (Cursor, error) {
	bad := &events.FieldError{Field: "cursor", Reason: "is none that a list of the past gave"}
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return Cursor{}, bad
	}
	parts := strings.SplitN(string(data), " ", 3)
	if len(parts) != 3 || events.ValidateName("cursor", parts[2]) != nil {
		return Cursor{}, bad
	}
	c := Cursor{task: parts[2]}
	if c.Until, err = events.ParseID(parts[0]); err != nil {
		return Cursor{}, bad
	}
	if c.ms, err = strconv.ParseInt(parts[1], 10, 64); err != nil {
		return Cursor{}, bad
	}
	return c, nil
}

func (c Cursor) String() string {
	text := c.Until.String() + " " + strconv.FormatInt(c.ms, 10) + " " + c.task
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// List returns a page of the tasks as they were at an instant, in the order of views.Store.Tasks: those that v, the
// view as of then, has. A page after the first begins behind a cursor, whose instant is this one. The Cursor of the
// filter is not looked at.
//
// A Filter that makes no sense is an *events.FieldError.
func List(v *asof.View, until events.ID, behind Cursor, filter views.Filter) (Page, error) {
	limit, err := filter.Check()
	if err != nil {
		return Page{}, err
	}
	found := v.Newest(limit+1, func(p asof.Place) bool {
		if behind.task != "" && (p.At.Ms > behind.ms || p.At.Ms == behind.ms && p.Task >= behind.task) {
			return false
		}
		return filter.Chooses(p.Outline())
	})
	page := Page{Tasks: []events.Task{}}
	for _, p := range found[:min(limit, len(found))] {
		page.Tasks = append(page.Tasks, p.Outline())
	}
	if len(found) > limit {
		last := found[limit-1]
		page.Next = Cursor{until, last.At.Ms, last.Task}.String()
	}
	return page, nil
}
