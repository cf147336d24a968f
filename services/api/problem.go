package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
)

// problem is the body of every answer that is an error (RFC 9457).
type problem struct {
	Type   string       `json:"type"` // a URN that programs may compare
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail,omitempty"`
	Field  string       `json:"field,omitempty"`  // the first field at fault
	Errors []fieldError `json:"errors,omitempty"` // all of them, when there are several

	retryAfter int // seconds; 0: no header
}

type fieldError struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Error is the detail, or the title when there is none.
func (p *problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// unavailable is the kind of problem of a Redis that does not answer.
const unavailable = "unavailable"

// newProblem makes a problem. kind is the end of its type.
func newProblem(status int, kind, title, detail string) *problem {
	return &problem{Type: "urn:tasklog:problem:" + kind, Title: title, Status: status, Detail: detail}
}

func malformed(detail string) *problem {
	return newProblem(http.StatusBadRequest, "malformed", "The request cannot be read", detail)
}

func notFound(detail string) *problem {
	return newProblem(http.StatusNotFound, "not-found", "There is no such thing", detail)
}

// invalid is every field of a request that is wrong, and never empty.
type invalid []*events.FieldError

// Error joins all of them.
func (v invalid) Error() string {
	reasons := make([]string, len(v))
	for i, e := range v {
		reasons[i] = e.Error()
	}
	return strings.Join(reasons, "; ")
}

// problemOf is the one place that turns an error into a status.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if v, ok := errors.AsType[invalid](err); ok {
		return invalidFields(v)
	}
	if e, ok := errors.AsType[*events.FieldError](err); ok {
		return invalidFields(invalid{e})
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large",
			fmt.Sprintf("the body is longer than %d bytes", e.Limit))
	}
	if e, ok := errors.AsType[*eventlog.RefusedError](err); ok {
		return newProblem(http.StatusConflict, "refused", "The task's state does not allow it", e.Error())
	}
	if e, ok := errors.AsType[*eventlog.ShutError](err); ok {
		return shut(e)
	}
	if e, ok := errors.AsType[*past.UncoveredError](err); ok {
		p := newProblem(http.StatusGone, "not-covered", "The log does not reach back that far", e.Error())
		p.Field = "at"
		return p
	}
	if e, ok := errors.AsType[*past.UnknownError](err); ok {
		return notFound(e.Error())
	}
	switch {
	case eventlog.Full(err):
		p := newProblem(http.StatusServiceUnavailable, "full", "Redis is nearly full", "nothing was appended; ask again later")
		p.retryAfter = 5
		return p
	case errors.Is(err, eventlog.ErrRebuilding):
		p := newProblem(http.StatusServiceUnavailable, "rebuilding", "The state of tasks is being made again from the log",
			"nothing was appended; ask again later. Where nobody does that any more, run `tasklog replay --state` again")
		p.retryAfter = 5
		return p
	case errors.Is(err, eventlog.ErrNotFound):
		return notFound("there is no such task")
	case eventlog.Unavailable(err), errors.Is(err, context.Canceled): // the latter at shutdown
		p := newProblem(http.StatusServiceUnavailable, unavailable, "Redis does not answer",
			"what was asked may or may not have happened; ask again later")
		p.retryAfter = 1
		return p
	}
	return internal()
}

// shut is the problem of a log that is copied, or was moved. Its status is 503 also where nobody knows when to come
// back: what was asked for is not wrong, and this address takes it again when its API is started on the other log.
func shut(e *eventlog.ShutError) *problem {
	why := "nothing was appended: " + e.Why
	switch e.Kind() {
	case eventlog.GateMoved:
		return newProblem(http.StatusServiceUnavailable, "moved", "The log was moved", why)
	case eventlog.GateCopying:
		return newProblem(http.StatusServiceUnavailable, "copying", "The log is a copy that is not finished", why)
	case eventlog.GateMoving:
	}
	p := newProblem(http.StatusServiceUnavailable, "moving", "The log is being moved", why) // which ends
	p.retryAfter = 5
	return p
}

// internal is the problem whose cause only our log tells.
func internal() *problem {
	return newProblem(http.StatusInternalServerError, "internal", "Something went wrong", "the log of the service says more")
}

func invalidFields(v invalid) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "invalid-field", "A field is wrong", v.Error())
	p.Field = v[0].Field
	if len(v) > 1 {
		for _, e := range v {
			p.Errors = append(p.Errors, fieldError{e.Field, e.Reason})
		}
	}
	return p
}

// fail answers with an error.
func (a *API) fail(c *gin.Context, err error) {
	if p := a.judge(c, err); p != nil {
		writeProblem(c, p)
	}
}

func writeProblem(c *gin.Context, p *problem) {
	writeJSON(c, p.Status, "application/problem+json", p)
}

// judge ends a request with an error: it logs what is ours and returns what to answer, or nil when
// there is nobody to answer.
func (a *API) judge(c *gin.Context, err error) *problem {
	c.Abort()
	if errors.Is(err, context.Canceled) && c.Request.Context().Err() != nil {
		c.Status(statusGone)
		return nil
	}
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		a.slog.LogAttrs(c.Request.Context(), slog.LevelError, "request failed", slog.String("route", c.FullPath()),
			slog.String("request", c.Writer.Header().Get(requestIDHeader)), slog.Any("error", err))
	}
	if c.Writer.Written() {
		return nil // an answer is under way: there is no second one
	}
	if p.retryAfter > 0 {
		c.Header("Retry-After", strconv.Itoa(p.retryAfter))
	}
	return p
}

// statusGone is what metrics count when the client went away before its answer.
const statusGone = 499

// answer writes v as JSON.
func answer(c *gin.Context, status int, v any) {
	writeJSON(c, status, "application/json", v)
}

// writeJSON answers with v. The media type and nosniff keep a browser from taking it for HTML.
func writeJSON(c *gin.Context, status int, mediaType string, v any) {
	body, err := events.Marshal(v)
	if err != nil { // not reached: every body here can be encoded
		status, mediaType = http.StatusInternalServerError, "application/problem+json"
		body = []byte(`{"type":"urn:tasklog:problem:internal","title":"Something went wrong","status":500}`)
	}
	c.Data(status, mediaType, append(body, '\n'))
}
