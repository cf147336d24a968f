package verifier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// rounds is how often what looks different is read again, with longer and longer pauses.
const rounds = 5

// again reads again what looked different, and counts what is different every time.
func (v *partition) again(ctx context.Context, s *suspects) error {
	var sets []Difference
	tasks := make(map[string][]Difference, len(s.tasks))
	for id := range s.tasks {
		tasks[id] = nil
	}
	strays := make(map[place]string, len(s.strays))
	for at := range s.strays {
		strays[at] = ""
	}
	for n := range rounds {
		pause.For(ctx, v.cfg.Patience*time.Duration(n)/(rounds*(rounds-1)/2))
		if err := v.tasksAgain(ctx, tasks); err != nil {
			return err
		}
		if err := v.straysAgain(ctx, strays); err != nil {
			return err
		}
		var err error
		if sets, err = v.sets(ctx); err != nil {
			return err
		}
		if len(tasks)+len(strays)+len(sets) == 0 {
			break
		}
	}
	all := sets
	for _, wrong := range tasks {
		all = append(all, wrong...)
	}
	for at, why := range strays {
		all = append(all, Difference{at.key, why})
	}
	slices.SortFunc(all, func(a, b Difference) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text)) })
	for _, d := range all {
		v.differ(d.Key, "%s", d.Text)
	}
	if s.dropped > 0 {
		v.note("%d more tasks moved while they were compared, and were not looked at again", s.dropped)
	}
	return nil
}

// tasksAgain forgets the tasks that are as the log says, and says of the others what is wrong.
func (v *partition) tasksAgain(ctx context.Context, tasks map[string][]Difference) error {
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(tasks)), snapshots) {
		found, end, err := v.snap(ctx, ids)
		if err != nil {
			return err
		}
		if err := v.followTo(ctx, end); err != nil {
			return err
		}
		if err := v.learn(ctx); err != nil {
			return err
		}
		for _, id := range ids {
			if tasks[id] = v.judge(id, found[id]); len(tasks[id]) == 0 {
				delete(tasks, id)
			}
		}
	}
	return nil
}

// judge holds what Redis has of a task against the log.
func (v *partition) judge(id string, s *snapshot) []Difference {
	t, known := v.audit.Task(id)
	if !known {
		if len(s.row) == 0 || v.older(id, s.row) {
			return nil
		}
		return []Difference{{v.part.Task(id), "the log knows no such task"}}
	}
	if len(s.row) == 0 && (v.old(t) || v.tooMany(t)) {
		return nil
	}
	if why := row(id, s.row, t); why != "" {
		return []Difference{{v.part.Task(id), why}}
	}
	if t.State.Final() {
		return nil // where it still stands is a stray
	}
	return s.check(v.part, id, t)
}

// straysAgain forgets the places that are gone, or are such as their tasks can have.
func (v *partition) straysAgain(ctx context.Context, strays map[place]string) error {
	for some := range slices.Chunk(slices.Collect(maps.Keys(strays)), scanPage) {
		var end *redis.XMessageSliceCmd
		cmds, err := eventlog.Together(ctx, v.rdb, func(tx redis.Pipeliner) error {
			for _, at := range some {
				if at.entry {
					tx.XRange(ctx, at.key, at.member, at.member)
				} else {
					tx.ZScore(ctx, at.key, at.member)
				}
			}
			end = v.end(ctx, tx)
			return nil
		})
		if eventlog.Unavailable(err) || ctx.Err() != nil {
			return err // any other error is one of a key
		}
		if err := v.followTo(ctx, end); err != nil {
			return err
		}
		for i, at := range some {
			t, known := v.audit.Task(at.task)
			entry, _ := cmds[i].(*redis.XMessageSliceCmd)
			gone := cmds[i].Err() != nil || entry != nil && len(entry.Val()) == 0
			if gone || v.belongs(at, t, known) || !known && v.begin.removed() > 0 {
				delete(strays, at)
				continue
			}
			strays[at] = fmt.Sprintf("%s names task %q, and the log knows none", at.member, at.task)
			if known {
				strays[at] = fmt.Sprintf("%s does not belong here: task %s is %s in queue %q", at.member, at.task, t.State, t.Queue)
			}
		}
	}
	return nil
}

// snapshot is what Redis holds of one task, all at one moment.
type snapshot struct {
	row map[string]string
	standing
}

const (
	snapshots   = 50   // tasks that are read at one moment
	maxDispatch = 5000 // entries of a dispatch stream that are looked through for them
)

// end reads, at the moment of a transaction, where the log ends.
func (v *partition) end(ctx context.Context, tx redis.Pipeliner) *redis.XMessageSliceCmd {
	return tx.XRevRangeN(ctx, v.part.Events, "+", "-", 1)
}

// followTo applies the events up to the end that the log had at the moment of a transaction: what that
// read can then be held against them, however fast the log grows.
func (v *partition) followTo(ctx context.Context, end *redis.XMessageSliceCmd) error {
	if err := end.Err(); err != nil {
		return err
	}
	if len(end.Val()) == 0 {
		return nil // an empty log
	}
	id, err := events.ParseID(end.Val()[0].ID)
	if err != nil {
		return err
	}
	return v.follow(ctx, id, false)
}

// snap reads what Redis holds of some tasks, all at one moment, and where the log ends then.
func (v *partition) snap(ctx context.Context, ids []string) (map[string]*snapshot, *redis.XMessageSliceCmd, error) {
	type commands struct {
		row                     *redis.MapStringStringCmd
		delayed, lease, waiting *redis.FloatCmd
		ready                   *redis.BoolCmd
	}
	asked := make(map[string]commands, len(ids))
	due := map[string]*redis.XMessageSliceCmd{}
	var now *redis.TimeCmd
	var end *redis.XMessageSliceCmd
	_, err := eventlog.Together(ctx, v.rdb, func(tx redis.Pipeliner) error {
		now, end = tx.Time(ctx), v.end(ctx, tx)
		clear(due)
		for _, id := range ids {
			t, _ := v.audit.Task(id)
			asked[id] = commands{
				tx.HGetAll(ctx, v.part.Task(id)), tx.ZScore(ctx, v.part.Delayed, id), tx.ZScore(ctx, v.part.Leases, id),
				tx.ZScore(ctx, v.part.Waiting(t.Queue), eventlog.Place(t.Requested, id)), tx.SIsMember(ctx, v.part.Ready, t.Queue),
			}
			if due[t.Queue] == nil {
				due[t.Queue] = tx.XRangeN(ctx, v.part.Due(t.Queue), "-", "+", maxDispatch)
			}
		}
		return nil
	})
	if err != nil && (eventlog.Unavailable(err) || ctx.Err() != nil) {
		return nil, nil, err // any other error is one of a key
	}
	found := make(map[string]*snapshot, len(ids))
	for id, c := range asked {
		found[id] = &snapshot{row: c.row.Val(), standing: standing{
			delayed: score(c.delayed), lease: score(c.lease), waiting: score(c.waiting), ready: c.ready.Val(), now: now.Val().UnixMilli(),
		}}
	}
	for _, cmd := range due {
		for _, e := range cmd.Val() {
			task, attempt := dispatch(e)
			if s := found[task]; s != nil {
				s.entries = append(s.entries, attempt)
			}
		}
	}
	return found, end, nil
}

// score is that of a member, or nil when there is none.
func score(cmd *redis.FloatCmd) *float64 {
	if err := cmd.Err(); err != nil || errors.Is(err, redis.Nil) {
		return nil
	}
	return new(cmd.Val())
}

// sets returns in which way the sets of queues are not as the log says.
func (v *partition) sets(ctx context.Context) ([]Difference, error) {
	var wrong []Difference
	var known, paused *redis.StringStructMapCmd
	var end *redis.XMessageSliceCmd
	_, err := eventlog.Together(ctx, v.rdb, func(tx redis.Pipeliner) error {
		known, paused, end = tx.SMembersMap(ctx, v.part.Queues), tx.SMembersMap(ctx, v.part.Paused), v.end(ctx, tx)
		return nil
	})
	if err != nil && (eventlog.Unavailable(err) || ctx.Err() != nil) {
		return nil, err // any other error is one of a key
	}
	if err := v.followTo(ctx, end); err != nil {
		return nil, err
	}
	for name, q := range v.audit.Queues() {
		if _, ok := known.Val()[name]; !ok {
			wrong = append(wrong, Difference{v.part.Queues, fmt.Sprintf("queue %q is missing", name)})
		}
		if _, is := paused.Val()[name]; q.Told && is != q.Paused {
			wrong = append(wrong, Difference{v.part.Paused, fmt.Sprintf("queue %q is there: %t, and the log says %t", name, is, q.Paused)})
		}
		delete(paused.Val(), name)
	}
	for name := range paused.Val() {
		if v.begin.removed() == 0 {
			wrong = append(wrong, Difference{v.part.Paused, fmt.Sprintf("queue %q is there, and nobody paused it", name)})
		}
	}
	return wrong, nil
}
