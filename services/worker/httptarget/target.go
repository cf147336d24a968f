package httptarget

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tasklog/tasklog/infra/webhook"
	"github.com/tasklog/tasklog/services/worker"
)

// The headers of a request, beside the signature.
const (
	HeaderTaskID      = "Tasklog-Task-Id"
	HeaderTaskName    = "Tasklog-Task-Name"
	HeaderQueue       = "Tasklog-Queue"
	HeaderAttempt     = "Tasklog-Attempt"
	HeaderKey         = "Idempotency-Key"
	HeaderTraceparent = "Traceparent"
)

// cut is how many bytes of an answer an error shows.
const cut = 1 << 10

// Target is an HTTP server that handles the tasks of a name or pattern.
type Target struct {
	name, url string
	header    http.Header
	timeout   time.Duration
	secret    string
	client    *webhook.Client
}

// Name is the task name or pattern.
func (t *Target) Name() string { return t.name }

// errSlow is the cause when a target took longer than it may.
var errSlow = errors.New("there was no answer in time")

// Handle posts a task and returns the answer as a handler does. It is a worker.Raw.
func (t *Target) Handle(ctx context.Context, task worker.Task[json.RawMessage]) (any, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.timeout, fmt.Errorf("%w: %s", errSlow, t.timeout))
	defer cancel()
	header := t.header.Clone()
	header.Set(HeaderTaskID, task.ID)
	header.Set(HeaderTaskName, task.Name)
	header.Set(HeaderQueue, task.Queue)
	header.Set(HeaderAttempt, strconv.Itoa(task.Attempt))
	header.Set(HeaderKey, task.IdempotencyKey())
	if parent := childOf(task.Traceparent); parent != "" {
		header.Set(HeaderTraceparent, parent)
	}
	payload := task.Payload
	if len(payload) == 0 {
		payload = json.RawMessage("null")
	}
	resp, err := t.client.Post(ctx, t.url, header, t.secret, payload)
	switch {
	case resp.OK() && err == nil:
		return result(resp.Body), nil
	case resp.OK() && errors.Is(err, webhook.ErrTooLong):
		// It did the work, and would do it again to answer the same.
		return nil, worker.NonRetryable(fmt.Errorf("status %d, but %w: store it elsewhere and answer where", resp.Status, err))
	case resp.Status == 0 || resp.OK():
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return nil, err
	}
	err = fmt.Errorf("status %d: %s", resp.Status, resp.Cut(cut))
	if final(resp.Status) {
		return nil, worker.NonRetryable(err)
	}
	if wait, ok := retryAfter(resp.Header, time.Now()); ok {
		return nil, worker.RetryAfter(err, wait)
	}
	return nil, err
}

// final reports the statuses after which no retry can help.
func final(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// result is what a task's result will be: JSON as it is, other text as a string, nothing as nil.
func result(body []byte) any {
	body = bytes.ToValidUTF8(bytes.TrimSpace(body), []byte("\uFFFD"))
	switch {
	case len(body) == 0:
		return nil
	case json.Valid(body):
		return json.RawMessage(body)
	}
	return string(body)
}

// retryAfter reads the header Retry-After: seconds or a date, RFC 9110 section 10.2.3. A date is
// compared with the server's own clock where it says that, and counts as now when it is past.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(v, 10, 63); err == nil {
		const most = 1 << 33 // seconds: what a Duration can hold; the log allows much less
		return time.Duration(min(n, most)) * time.Second, true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, at.Sub(now)), true
}
