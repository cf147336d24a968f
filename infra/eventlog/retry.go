package eventlog

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/tasklog/tasklog/events"
)

//go:embed retry.lua
var retrySource string

var retryScript = newScript(retrySource)

// Retry appends TaskRetryRequested: a failed or cancelled task gets all its attempts anew and
// waits for its turn. requestID is a fresh token of this request: the same one again changes
// nothing and answers the same. It returns ErrNotFound, or a *RefusedError for a task in any other state.
func (l *Log) Retry(ctx context.Context, task, by, requestID string) (events.ID, error) {
	rest, err := events.Fragment(struct {
		By        string `json:"by"`
		RequestID string `json:"requestId"`
	}{by, requestID})
	if err != nil {
		return events.ID{}, fmt.Errorf("retry task %s: %w", task, err)
	}
	p := l.Of(task)
	id, err := l.onQueueOf(ctx, task, "retried", func(queue, _ string) (reply, error) {
		keys := []string{p.Task(task), p.Events, p.Waiting(queue), p.Ready}
		return decide(ctx, l.conn.Decide, retryScript, keys, task, queue, requestID, rest)
	})
	if err != nil {
		return events.ID{}, fmt.Errorf("retry task %s: %w", task, err)
	}
	return id, nil
}
