package scheduler

import (
	"context"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// promote moves delayed tasks to the waiting ones of their queues, drops those that are none, and
// returns how many are not delayed any more. The script leaves alone what is not due yet by Redis' clock.
func (d *dispatcher) promote(ctx context.Context, ids []string) (settled int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	tasks, err := d.log.Tasks(ctx, d.part, ids)
	if err != nil {
		return 0, err
	}
	dropped, err := d.dropNobody(ctx, d.part.Delayed, ids, tasks)
	if err != nil {
		return 0, err
	}
	byQueue := map[string][]eventlog.Promotion{}
	for _, t := range tasks {
		byQueue[t.Queue] = append(byQueue[t.Queue], eventlog.Promotion{
			Task: t.ID, Queue: t.Queue, Priority: t.Priority, Requested: t.Events[0],
		})
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
		moved += n
	}
	d.metrics.promoted.Add(float64(moved))
	return dropped + moved, nil
}
