package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
)

//go:embed release.lua
var releaseSource string

var releaseScript = newScript(releaseSource)

// Release appends TaskReleased: the worker gives the task back, and the attempt is not counted.
// An attempt that was not started is one with an Entry. The task can run again after *retry, or
// at once when that is nil. An ErrFenced says that it was not, or is no longer, the worker's.
func (l *Log) Release(ctx context.Context, a Attempt, reason events.Reason, retry *time.Duration) (Outcome, error) {
	rest, err := events.Fragment(struct {
		Worker string        `json:"worker"`
		Reason events.Reason `json:"reason"`
	}{a.Worker, reason})
	if err != nil {
		return Outcome{}, fmt.Errorf("release task %s: %w", a.Task, err)
	}
	token, entry := a.Token, ""
	if !a.Entry.IsZero() {
		token, entry = "", a.Entry.String()
	}
	p := l.Of(a.Task)
	keys := []string{p.Task(a.Task), p.Events, p.Leases, p.Lock(a.Task), p.Delayed, p.Waiting(a.Queue), p.Ready, p.Due(a.Queue)}
	r, err := decide(ctx, l.conn.Decide, releaseScript, keys, a.Task, a.Number, token, rest, retryArg(retry), a.Queue, entry)
	if err != nil {
		return Outcome{}, fmt.Errorf("release task %s attempt %d: %w", a.Task, a.Number, err)
	}
	out, err := r.outcome()
	if err != nil {
		return Outcome{}, fmt.Errorf("release task %s attempt %d: %w", a.Task, a.Number, err)
	}
	return out, nil
}
