// Package pause waits: loops that try a failed step again all wait in the same way.
package pause

import (
	"context"
	"time"
)

// For waits for d, or until ctx ends.
func For(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Retry waits before a step is tried again that failed inARow times before this one: 20 ms at first,
// longer each time, a second at the most.
func Retry(ctx context.Context, inARow int) {
	For(ctx, min(time.Second, 20*time.Millisecond<<min(inARow, 6)))
}
