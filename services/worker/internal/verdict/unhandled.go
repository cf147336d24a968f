package verdict

import (
	"time"

	"github.com/tasklog/tasklog/events"
)

// Unhandled returns how long a task waits for a worker that has a handler for it: 5 s, twice as long each
// time it was given back before it started, and two minutes at the most; a fifth more or less by dice, a
// number in [0,1). A handler that a deployment brings is thus found soon, and a task that nobody ever
// handles does not fill the log. Without the dice the waits are multiples of eventlog.MaxBlock: idle workers
// take turns in that time, and the same one, without a handler, would be asked again and again.
func Unhandled(t events.Task, dice float64) time.Duration {
	// It was requested, and became due just now; three events tell of each attempt that started, and two
	// of each time that it was given back.
	back := (len(t.Events) - 2 - 3*t.Attempt) / 2
	nominal := min(5*time.Second<<max(0, min(back, 5)), 2*time.Minute)
	return time.Duration(float64(nominal) * (0.8 + 0.4*dice))
}
