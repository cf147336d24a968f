package eventlog

import (
	"context"

	"github.com/tasklog/tasklog/infra/pause"
)

// maxFailures is how many times in a row Redis may leave a step unanswered, some 5 s, before Persist gives up.
const maxFailures = 10

// Persist calls f until Redis answers, and returns what f does. f must be something that can be done twice.
func Persist(ctx context.Context, f func() error) error {
	for failures := 0; ; failures++ {
		err := f()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !Unavailable(err) || failures == maxFailures {
			return err
		}
		pause.Retry(ctx, failures) // a connection broke, or Redis starts anew
	}
}
