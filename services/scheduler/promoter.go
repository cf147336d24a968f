package scheduler

import (
	"context"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// promote moves delayed tasks to the waiting ones of their queues, drops those that are none, and
// returns how many are not delayed any more. The script leaves alone what is not due yet by Redis' clock.
func (d *dispatcher) promote(ctx context.Context, ids []string) (settled int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	list, err := d.log.Promotions(ctx, d.part, ids)
	if err != nil {
		return 0, err
	}
	have, byQueue := map[string]bool{}, map[string][]eventlog.Promotion{}
	for _, p := range list {
		have[p.Task] = true
		byQueue[p.Queue] = append(byQueue[p.Queue], p)
	}
	dropped, err := d.dropNobody(ctx, d.part.Delayed, ids, have)
	if err != nil {
		return 0, err
	}
	moved := 0
	for queue, list := range byQueue {
		if d.rests(queue) {
			continue
		}
		n, err := d.log.Promote(ctx, d.part, queue, list)
		if eventlog.Unavailable(err) {
			return dropped + moved, err
		}
		if err != nil {
			d.refused(ctx, "promoter", queue, err)
		}
		if n > 0 {
			moved += n
			d.burst.moved(queue)
		}
	}
	d.metrics.promoted.Add(float64(moved))
	return dropped + moved, nil
}

// longestBurst bounds how long a queue waits until all that became due at once are in their order.
const longestBurst = 10 * time.Second

// A burst is more delayed tasks whose time has come than one step promotes. They are found in the order of
// their due times and not of their priorities: so their queues are dispatched again when all of them wait.
type burst struct {
	since  time.Time // zero: there is none
	queues map[string]bool
}

// next begins or ends the burst with what the next step has found.
func (b *burst) next(found int) {
	if found < eventlog.MaxItems {
		*b = burst{}
	} else if b.since.IsZero() {
		*b = burst{time.Now(), map[string]bool{}}
	}
}

// moved notes a queue of the burst, if there is one.
func (b *burst) moved(queue string) {
	if !b.since.IsZero() {
		b.queues[queue] = true
	}
}

// holds reports whether a queue waits for the end of the burst.
func (b *burst) holds(queue string) bool {
	return !b.since.IsZero() && b.queues[queue] && time.Since(b.since) < longestBurst
}
