package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
)

//go:embed abandon.lua
var abandonSource string

var abandonScript = newScript(abandonSource)

// Abandon appends TaskFailed with reason abandoned for an attempt whose lease has ended. worker is
// the one that held it. The task is tried again after *retry, or never when that is nil. It returns
// an ErrFenced when the attempt is over, or was extended: then nothing is to be done.
func (l *Log) Abandon(ctx context.Context, task string, attempt int, worker string, run time.Duration, retry *time.Duration) (Outcome, error) {
	rest, err := events.Fragment(failure{
		Worker: worker, RunMs: ms(run), Reason: events.ReasonAbandoned,
		Error: "worker " + worker + " stopped extending the lease of this attempt",
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("abandon task %s: %w", task, err)
	}
	p := l.Of(task)
	keys := []string{p.Task(task), p.Events, p.Leases, p.Lock(task), p.Delayed}
	r, err := decide(ctx, l.conn.Decide, abandonScript, keys, task, attempt, rest, retryArg(retry), ms(l.kept))
	if err != nil {
		return Outcome{}, fmt.Errorf("abandon task %s attempt %d: %w", task, attempt, err)
	}
	out, err := r.outcome()
	if err != nil {
		return Outcome{}, fmt.Errorf("abandon task %s attempt %d: %w", task, attempt, err)
	}
	return out, nil
}
