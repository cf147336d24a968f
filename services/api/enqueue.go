package api

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
)

// enqueue serves POST /api/tasks.
func (a *API) enqueue(c *gin.Context) {
	body, err := readObject(c.Writer, c.Request, int64(a.cfg.MaxPayload)+maxEnvelope)
	if err == nil && body == nil {
		err = malformed("the body is empty")
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	r, err := parseRequest(body, a.cfg.MaxPayload, time.Now())
	if err != nil {
		a.fail(c, err)
		return
	}
	if err := a.log.Conn().Admit(c.Request.Context(), a.cfg.MaxMemory, r); err != nil {
		a.fail(c, err)
		return
	}
	r.Traceparent = traceparent(c.Request.Header)
	crashpoint.Hit(crashpoint.APIBeforeRequest)
	got, err := a.log.Request(c.Request.Context(), r)
	crashpoint.Hit(crashpoint.APIAfterRequest)
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Location", "/api/tasks/"+url.PathEscape(got.Task))
	answer(c, http.StatusAccepted, receipt(got))
}

func receipt(r eventlog.Receipt) wire.Receipt {
	return wire.Receipt{
		TaskID: r.Task, Queue: r.Queue, State: r.State, DueAt: wire.Stamp(r.DueAt),
		EventID: r.Event.String(), Duplicate: r.Duplicate,
	}
}

// parseRequest reads the JSON of a request for a task. It returns an invalid with every field at
// fault, or a *problem for a payload that is too large. now judges only whether runAt is too far away.
func parseRequest(body []byte, maxPayload int, now time.Time) (eventlog.Request, error) {
	var (
		f        faults
		customID *string // nil: absent, as for the next two
		delayMs  *int64
		runAt    *time.Time
	)
	r := eventlog.Request{
		Label:      events.Label{Queue: events.DefaultQueue},
		Definition: events.Definition{MaxAttempts: events.DefaultMaxAttempts},
	}
	f.decode("", body, map[string]any{
		"taskName": &r.Name, "payload": &r.Payload, "queue": &r.Queue, "customJobId": &customID,
		"delayMs": &delayMs, "runAt": &runAt, "priority": &r.Priority, "maxAttempts": &r.MaxAttempts,
		"timeoutMs": &r.TimeoutMs,
		"backoff": func(field string, value []byte) {
			f.decode(field+".", value, map[string]any{
				"type": &r.Backoff.Type, "delayMs": &r.Backoff.DelayMs,
				"maxDelayMs": &r.Backoff.MaxDelayMs, "jitter": &r.Backoff.Jitter,
			})
		},
	})
	fresh, err := uuid.NewV7()
	if err != nil {
		return r, fmt.Errorf("make an id: %w", err)
	}
	if r.Task = fresh.String(); customID != nil {
		r.Task, r.RequestID = *customID, r.Task
	}
	f.add(events.ValidateName("taskName", r.Name))
	f.add(events.ValidateName("customJobId", r.Task))
	f.add(events.ValidateName("queue", r.Queue))
	f.add(r.Validate())
	f.add(validateTime(delayMs, runAt, now))
	if len(r.Payload) > maxPayload {
		p := newProblem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large",
			fmt.Sprintf("payload: %d bytes is longer than %d", len(r.Payload), maxPayload))
		p.Field = "payload"
		return r, p
	}
	if delayMs != nil {
		r.Delay = time.Duration(*delayMs) * time.Millisecond
	}
	if runAt != nil {
		r.RunAt = *runAt
	}
	return r, f.err()
}

func validateTime(delayMs *int64, runAt *time.Time, now time.Time) error {
	limit := events.MaxDelay.Milliseconds()
	switch {
	case delayMs != nil && (*delayMs < 0 || *delayMs > limit):
		return &events.FieldError{Field: "delayMs", Reason: fmt.Sprintf("%d is not between 0 and %d", *delayMs, limit)}
	case runAt == nil:
		return nil
	case delayMs != nil:
		return &events.FieldError{Field: "runAt", Reason: "delayMs and runAt exclude each other"}
	case runAt.Sub(now) > events.MaxDelay:
		return &events.FieldError{Field: "runAt", Reason: fmt.Sprintf("is more than %s away", events.MaxDelay)}
	case runAt.UnixMilli() < 0:
		return &events.FieldError{Field: "runAt", Reason: "lies before 1970"}
	}
	return nil
}

// traceparentForm is that of W3C Trace Context, section 3.2.
var traceparentForm = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$`)

// traceparent returns the trace context of a request, or "" when there is none that is valid: the
// standard asks to ignore others.
func traceparent(h http.Header) string {
	values := h.Values("Traceparent")
	if len(values) != 1 {
		return ""
	}
	m := traceparentForm.FindStringSubmatch(values[0])
	if m == nil || m[1] == "ff" || m[2] == "00000000000000000000000000000000" || m[3] == "0000000000000000" {
		return ""
	}
	return values[0]
}

// reasonBody reads the optional body {"reason":…} of a cancellation.
func reasonBody(c *gin.Context) (string, error) {
	var reason string
	if err := optionalBody(c, map[string]any{"reason": &reason}); err != nil {
		return "", err
	}
	return reason, validReason(reason)
}

const maxReason = 4 << 10 // bytes

func validReason(reason string) error {
	if len(reason) > maxReason {
		return &events.FieldError{Field: "reason", Reason: fmt.Sprintf("%d bytes is longer than %d", len(reason), maxReason)}
	}
	return nil
}

// optionalBody reads a body that may be absent into targets.
func optionalBody(c *gin.Context, targets map[string]any) error {
	body, err := readObject(c.Writer, c.Request, maxEnvelope)
	if err != nil || body == nil {
		return err
	}
	var f faults
	f.decode("", body, targets)
	return f.err()
}
