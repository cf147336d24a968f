package worker

import (
	"errors"
	"time"

	"github.com/tasklog/tasklog/services/worker/internal/verdict"
)

// Why the context of a handler ended: context.Cause tells.
var (
	// ErrTimeout says that the task's time is over. The attempt fails with reason timeout.
	ErrTimeout = errors.New("the task's timeout is over")
	// ErrCancelled says that the task was cancelled. What the handler returns is not recorded.
	ErrCancelled = errors.New("the task was cancelled")
	// ErrLeaseLost says that the attempt no longer holds its task: it counts as abandoned, and
	// another one may run. What the handler returns is not recorded.
	ErrLeaseLost = errors.New("the attempt lost its lease")
	// ErrShutdown says that the worker stops and the grace period is over. A handler that then returns
	// an error has its task given back, for another worker to run at once; the attempt does not count.
	ErrShutdown = errors.New("the worker shuts down")
)

// NonRetryable marks an error that no retry can help: the task fails for good, with reason
// rejected. NonRetryable(nil) is nil.
func NonRetryable(err error) error {
	if err == nil {
		return nil
	}
	return &verdict.Final{Err: err}
}

// RetryAfter marks an error after which the next attempt, if one is left, is due in d, whatever the
// task's backoff says. RetryAfter(nil, d) is nil.
func RetryAfter(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &verdict.Later{Err: err, Delay: d}
}
