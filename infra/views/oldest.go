package views

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/tasks"
)

// Overview is every queue, and since when the oldest task of each waits.
type Overview struct {
	Queues *queues.View
	// Oldest is when the task of a queue that waits longest began to: when it was asked for, or was handed to
	// the workers. A queue in which none waits has none.
	Oldest map[string]time.Time
	Freshness
}

// maxOldest is of how many queues, and partitions of these, an overview tells the oldest: those in which most
// tasks wait.
const maxOldest = 1000

// Overview reads the counts of every queue and the oldest task of each in the index, which is ordered by
// time: the set from which tasks are handed out is ordered by priority, and cannot tell.
func (s *Store) Overview(ctx context.Context) (Overview, error) {
	o := Overview{Queues: new(queues.View), Oldest: map[string]time.Time{}}
	type place struct {
		key, queue string
		tasks      int64
	}
	var places []place
	for _, p := range s.log.Partitions() {
		h, v, err := s.counts(ctx, p, "")
		if err != nil {
			return Overview{}, fmt.Errorf("read the queues of partition %d: %w", p.N, err)
		}
		o.add(h)
		o.Queues.Merge(v)
		for queue, q := range v.All() {
			for _, state := range []events.State{events.StateWaiting, events.StateDue} {
				if n := q.Counts[state]; n > 0 {
					places = append(places, place{indexKey(p, h.Index, tasks.Place{State: state, Queue: queue}), queue, n})
				}
			}
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(b.tasks, a.tasks) })
	places = places[:min(len(places), maxOldest)]
	if len(places) == 0 {
		return o, nil
	}
	first, err := s.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, p := range places {
			pipe.ZRangeWithScores(ctx, p.key, 0, 0)
		}
		return nil
	})
	if err := unusable(err); err != nil {
		return Overview{}, fmt.Errorf("read the oldest task of each queue: %w", err)
	}
	for i, cmd := range first {
		found := cmd.(*redis.ZSliceCmd).Val()
		if len(found) == 0 {
			continue // it began in the meantime
		}
		at := time.UnixMilli(int64(found[0].Score)).UTC()
		if t, ok := o.Oldest[places[i].queue]; !ok || at.Before(t) {
			o.Oldest[places[i].queue] = at
		}
	}
	return o, nil
}
