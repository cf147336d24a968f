package views

import (
	"context"
	_ "embed"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/tasks"
)

//go:embed save.lua
var saveSource string

var saveScript = redis.NewScript(saveSource)

// maxArgs is how many arguments one command gets inside a script: Lua's stack bounds them.
const maxArgs = 2000

// Save stores the views and their checkpoint in one step, and extends the lease of owner. It returns
// ErrMoved when another projector got there first. After any error f is of no use: load it again.
func (s *Store) Save(ctx context.Context, f *Fold, owner string, ttl time.Duration) error {
	var list operations
	for _, v := range f.views() {
		list.fields(f.part.View(v.Name()), v.Changed())
	}
	list.index(f)
	keys, args := list.script([]string{f.part.View("head"), f.part.View("lease")}, []any{
		owner, ttl.Milliseconds(), f.Generation, f.stored.String(), f.Checkpoint.String(), f.Read, f.Skipped, f.Missed,
	})
	answer, err := saveScript.Run(ctx, s.rdb, keys, args...).Text()
	if err := unusable(err); err != nil {
		return fmt.Errorf("save the views of partition %d at %s: %w", f.part.N, f.Checkpoint, err)
	}
	if answer != "ok" {
		return fmt.Errorf("save the views of partition %d at %s: %w: %s", f.part.N, f.Checkpoint, ErrMoved, answer)
	}
	f.Tasks.Told()
	f.stored = f.Checkpoint
	return nil
}

// operation is a command that a script runs.
type operation struct {
	command, key string
	args         []any
}

// operations are in an order in which those that add come before those that remove, because a Redis that is out
// of memory then refuses the first of them and nothing is done.
type operations []operation

// add adds a command, more than one where it has too many arguments.
func (o *operations) add(command, key string, args []any) {
	for some := range slices.Chunk(args, maxArgs) {
		*o = append(*o, operation{command, key, some})
	}
}

// script appends the operations to the KEYS and ARGV of a script.
func (o operations) script(keys []string, args []any) ([]string, []any) {
	for _, op := range o {
		keys = append(keys, op.key)
		args = append(append(args, op.command, len(op.args)), op.args...)
	}
	return keys, args
}

// fields stores the fields of a view that changed.
func (o *operations) fields(key string, changed iter.Seq2[string, []byte]) {
	var set, gone []any
	for field, value := range changed {
		if value == nil {
			gone = append(gone, field)
			continue
		}
		set = append(set, field, value)
	}
	o.add("HSET", key, set)
	o.add("HDEL", key, gone)
}

// index moves tasks from place to place. A place names a key of the partition: a zset, but for
// completed tasks, which never leave, a list, for that costs Redis a fifth.
func (o *operations) index(f *Fold) {
	type ended struct {
		at   events.ID
		task string
	}
	enter, leave := map[tasks.Place][]any{}, map[tasks.Place][]any{}
	completed := map[tasks.Place][]ended{}
	for task, c := range f.Tasks.Changes() {
		if c.To.State == events.StateCompleted {
			completed[c.To] = append(completed[c.To], ended{c.At, task})
		} else {
			enter[c.To] = append(enter[c.To], c.At.Ms, task)
		}
		if c.From.State != events.StateNone && c.From != c.To {
			leave[c.From] = append(leave[c.From], task)
		}
	}
	for place, list := range completed {
		slices.SortFunc(list, func(a, b ended) int { return a.at.Compare(b.at) })
		list = list[max(0, len(list)-tasks.Keep):]
		members := make([]any, len(list))
		for i, e := range list {
			members[i] = position{e.at.Ms, e.task}.String()
		}
		o.add("RPUSH", f.index(place), members)
		o.add("LTRIM", f.index(place), []any{-tasks.Keep, -1})
	}
	for place, members := range enter {
		o.add("ZADD", f.index(place), members)
	}
	for place, members := range leave {
		o.add("ZREM", f.index(place), members)
	}
	for _, place := range f.Tasks.Trim() {
		o.add("ZREMRANGEBYRANK", f.index(place), []any{0, -tasks.Keep - 1})
	}
}

func (f *Fold) index(place tasks.Place) string { return indexKey(f.part, f.Index, place) }

func indexKey(p eventlog.Partition, index int64, place tasks.Place) string {
	return p.View("tasks:" + strconv.FormatInt(index, 10) + ":" + string(place.State) + ":" + place.Queue)
}
