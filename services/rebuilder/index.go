package rebuilder

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// dispatch is what goes into a dispatch stream. There are as many as workers can run at once.
type dispatch struct {
	id     events.ID
	values []string
}

// indexing makes from rows what finds them.
type indexing struct {
	*rebuild
	now     int64
	retired map[string]events.ID  // by queue: no task that was over by then gets a row
	ends    map[string]float64    // of leases, as they were
	active  map[string]bool       // tasks that have a lease
	due     map[string][]dispatch // by queue
}

// index makes from the rows what finds them. There is no row of a task whose retention is over, or that went
// before because its queue had too many.
func (r *rebuild) index(ctx context.Context) error {
	x := &indexing{rebuild: r, active: map[string]bool{}, due: map[string][]dispatch{}}
	var now time.Time
	err := eventlog.Persist(ctx, func() (err error) {
		if now, err = r.log.Now(ctx); err == nil {
			x.retired, err = r.log.RetiredUpto(ctx, r.part)
		}
		return err
	})
	if err != nil {
		return err
	}
	x.now = now.UnixMilli()
	if err := x.leases(ctx); err != nil {
		return err
	}
	if err := r.scan(ctx, "task:", func(keys []string) error { return x.page(ctx, keys) }); err != nil {
		return err
	}
	if err := x.prune(ctx); err != nil {
		return err
	}
	for queue, list := range x.due {
		slices.SortFunc(list, func(a, b dispatch) int { return a.id.Compare(b.id) })
		list = slices.CompactFunc(list, func(a, b dispatch) bool { return a.id == b.id }) // SCAN tells some keys twice
		stream := r.part.Due(queue)
		err := r.write(ctx, func(pipe redis.Pipeliner) {
			pipe.Unlink(ctx, stream)
			for _, d := range list {
				pipe.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: d.id.String(), Values: d.values})
			}
			pipe.XGroupCreate(ctx, stream, eventlog.Group, "0")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// leases reads the ledger of leases, as it was. One that is no ledger goes.
func (x *indexing) leases(ctx context.Context) error {
	var list []redis.Z
	err := eventlog.Persist(ctx, func() (err error) {
		list, err = x.rdb.ZRangeWithScores(ctx, x.part.Leases, 0, -1).Result()
		return err
	})
	if err != nil && !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return err
	}
	x.ends = map[string]float64{}
	for _, z := range list {
		if task, ok := z.Member.(string); ok {
			x.ends[task] = z.Score
		}
	}
	return x.write(ctx, func(pipe redis.Pipeliner) {
		if err != nil {
			pipe.Unlink(ctx, x.part.Leases)
		}
	})
}

// prune removes the leases of what does not run.
func (x *indexing) prune(ctx context.Context) error {
	var over []any
	for task := range x.ends {
		if !x.active[task] {
			over = append(over, task)
		}
	}
	if len(over) == 0 {
		return nil
	}
	return x.write(ctx, func(pipe redis.Pipeliner) { pipe.ZRem(ctx, x.part.Leases, over...) })
}

// page indexes some rows.
func (x *indexing) page(ctx context.Context, keys []string) error {
	var cmds []redis.Cmder
	err := eventlog.Persist(ctx, func() (err error) {
		cmds, err = x.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, key := range keys {
				pipe.HMGet(ctx, key, "state", "queue", "priority", "dueAt", "requested", "attempt", "token", "label")
				pipe.HKeys(ctx, key)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	found := make([]place, 0, len(keys))
	for i, key := range keys {
		values, fields := cmds[2*i].(*redis.SliceCmd).Val(), cmds[2*i+1].(*redis.StringSliceCmd).Val()
		if p, ok := newPlace(strings.TrimPrefix(key, x.part.Task("")), values, fields); ok {
			found = append(found, p)
		}
	}
	return x.write(ctx, func(pipe redis.Pipeliner) {
		for _, p := range found {
			x.put(ctx, pipe, p)
		}
	})
}

// place is what a row says of where its task stands.
type place struct {
	task, queue, token, label string
	state                     events.State
	priority, dueAt           float64
	attempt                   int
	requested, last           events.ID
}

func newPlace(task string, values []any, fields []string) (place, bool) {
	var s [8]string
	for i := range min(len(s), len(values)) {
		s[i], _ = values[i].(string)
	}
	p := place{task: task, state: events.State(s[0]), queue: s[1], token: s[6], label: s[7]}
	p.priority, _ = strconv.ParseFloat(s[2], 64)
	p.dueAt, _ = strconv.ParseFloat(s[3], 64)
	p.attempt, _ = strconv.Atoi(s[5])
	var err error
	p.requested, err = events.ParseID(s[4])
	p.last = slices.MaxFunc(append(eventlog.LaterEvents(slices.Values(fields)), p.requested), events.ID.Compare)
	return p, err == nil
}

// put writes what finds one task.
func (x *indexing) put(ctx context.Context, pipe redis.Pipeliner, p place) {
	switch p.state {
	case events.StateWaiting:
		x.wait(ctx, pipe, p)
	case events.StateDelayed, events.StateRetrying:
		if p.dueAt <= float64(x.now) {
			x.wait(ctx, pipe, p)
			break
		}
		pipe.ZAdd(ctx, x.part.Delayed, redis.Z{Score: p.dueAt, Member: p.task})
	case events.StateDue:
		x.due[p.queue] = append(x.due[p.queue], dispatch{p.last, []string{
			"task", p.task, "attempt", strconv.Itoa(p.attempt + 1), "label", p.label,
		}})
	case events.StateActive:
		x.active[p.task] = true
		end := max(x.ends[p.task], float64(x.now+x.cfg.LeaseTTL.Milliseconds()))
		pipe.ZAdd(ctx, x.part.Leases, redis.Z{Score: end, Member: p.task})
		pipe.Set(ctx, x.part.Lock(p.task), p.token, x.cfg.LeaseTTL)
	case events.StateCompleted, events.StateFailed, events.StateCancelled:
		if p.last.Compare(x.retired[p.queue]) <= 0 {
			pipe.Unlink(ctx, x.part.Task(p.task))
			break
		}
		pipe.PExpireAt(ctx, x.part.Task(p.task), time.UnixMilli(p.last.Ms).Add(x.log.Retention()))
	case events.StateNone:
	}
}

func (x *indexing) wait(ctx context.Context, pipe redis.Pipeliner, p place) {
	pipe.ZAdd(ctx, x.part.Waiting(p.queue), redis.Z{Score: p.priority, Member: eventlog.Place(p.requested, p.task)})
	pipe.SAdd(ctx, x.part.Ready, p.queue)
}

// open opens the gate, unless it is to stay shut.
func (r *rebuild) open(ctx context.Context) error {
	crashpoint.Hit(crashpoint.RebuildBeforeOpen)
	if r.cfg.Shut {
		return nil
	}
	sent := false
	err := r.write(ctx, func(pipe redis.Pipeliner) {
		sent = true
		pipe.Del(ctx, r.part.Rebuild)
	})
	if !sent || !errors.Is(err, ErrMoved) {
		return err
	}
	// It was ours when we opened it, and Redis' answer was lost: where there is no gate any more, it is open.
	var shut int64
	failed := eventlog.Persist(ctx, func() (err error) {
		shut, err = r.rdb.Exists(ctx, r.part.Rebuild).Result()
		return err
	})
	if failed == nil && shut == 0 {
		return nil
	}
	return errors.Join(err, failed)
}
