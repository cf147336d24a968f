// Package verdict judges how an attempt ended: from what a handler returned, to what the log will
// say of it. It is pure; the worker records the verdict, and workertest shows it to tests.
package verdict

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
)

// MaxText is how many bytes of an error, or of a panic with its stack, the log keeps.
const MaxText = 4 << 10

// MaxResult is how many bytes of JSON a result may have.
const MaxResult = events.DefaultMaxPayload

// Verdict is how an attempt ended. The zero Verdict is a success without a result.
type Verdict struct {
	Result json.RawMessage // of a success; nil when there is none
	Reason events.Reason   // empty: the attempt succeeded
	Error  string          // at most MaxText bytes, without control characters
	Final  bool            // no retry can help
	After  *time.Duration  // when the handler wants the retry; nil: as the task's backoff says
}

// Final marks an error that no retry can help.
type Final struct{ Err error }

// Error is that of the error inside.
func (e *Final) Error() string { return e.Err.Error() }

// Unwrap returns the error inside.
func (e *Final) Unwrap() error { return e.Err }

// Later marks an error after which the next attempt is due in Delay, and not when the backoff says.
type Later struct {
	Err   error
	Delay time.Duration
}

// Error is that of the error inside.
func (e *Later) Error() string { return e.Err.Error() }

// Unwrap returns the error inside.
func (e *Later) Unwrap() error { return e.Err }

// Of judges what a handler returned. timeout is the time that it had, when that is over, else zero:
// a handler that succeeds in spite of it has succeeded.
func Of(result any, err error, timeout time.Duration) Verdict {
	if err == nil {
		data, err := encode(result)
		if err == nil {
			return Verdict{Result: data}
		}
		return Verdict{Reason: events.ReasonRejected, Error: clean("result: " + err.Error()), Final: true}
	}
	var (
		v        = Verdict{Reason: events.ReasonError, Error: clean(err.Error())}
		final    *Final
		later    *Later
		panicked *PanicError
	)
	switch {
	case errors.As(err, &final):
		v.Reason, v.Final = events.ReasonRejected, true
	case errors.As(err, &panicked):
		v.Reason = events.ReasonPanic
	case timeout > 0:
		v.Reason = events.ReasonTimeout
		v.Error = clean(fmt.Sprintf("not done within %s: %s", timeout, err))
	}
	if errors.As(err, &later) {
		v.After = new(min(max(0, later.Delay), events.MaxDelay))
	}
	return v
}

// Retry returns how long to wait before the next attempt, or nil when there will be none. attempts
// is how many count, this one included; dice is a number in [0,1).
func (v Verdict) Retry(d events.Definition, attempts int, dice float64) *time.Duration {
	switch {
	case v.Reason == "" || v.Final || attempts >= d.MaxAttempts:
		return nil
	case v.After != nil:
		return v.After
	}
	return new(d.Backoff.Delay(attempts, dice))
}
