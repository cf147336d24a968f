package eventlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

// Entry is one entry of the log as it was read: an event, or the reason why it is none.
type Entry struct {
	events.Event
	Err error // an events.ErrUndecodable: skip the entry, count it, say its id

	bytes int // that it had in the log, or about so many
}

func (e Entry) place() events.ID { return e.ID }

// Size is how many bytes it had in the log, or about so many; 0 for one that was not read.
func (e Entry) Size() int { return e.bytes }

// MaxBlock is how long a blocking read waits at the most. It bounds how long a shutdown takes where
// Redis cannot be asked to end a wait.
const MaxBlock = 2 * time.Second

// Range returns at most n entries of a partition after an id and not after until, oldest first. Fewer than n
// means that there are no more.
func (l *Log) Range(ctx context.Context, p Partition, after, until events.ID, n int) ([]Entry, error) {
	if l.older != nil {
		return across(ctx, l, p, after, until, n, l.older.Range, l.stream)
	}
	return l.stream(ctx, p, after, until, n)
}

// xrange returns at most n entries of the stream of a partition after an id and not after until, as Redis sends them.
func (l *Log) xrange(ctx context.Context, p Partition, after, until events.ID, n int) ([]any, error) {
	v, err := l.conn.View.Do(ctx, "XRANGE", p.Events, "("+after.String(), until.String(), "COUNT", n).Slice()
	if err != nil {
		return nil, fmt.Errorf("read %s after %s: %w", p.Events, after, err)
	}
	return v, nil
}

// RangeBack returns at most n entries of the stream of a partition before an id, newest first.
func (l *Log) RangeBack(ctx context.Context, p Partition, before events.ID, n int) ([]Entry, error) {
	v, err := l.conn.View.Do(ctx, "XREVRANGE", p.Events, "("+before.String(), "-", "COUNT", n).Slice()
	if err != nil {
		return nil, fmt.Errorf("read %s before %s: %w", p.Events, before, err)
	}
	return entries(v), nil
}

// Follow returns at most n entries of a partition after an id, oldest first. While there are none
// it waits, for block at the most (not longer than MaxBlock), and then returns none.
func (l *Log) Follow(ctx context.Context, p Partition, after events.ID, n int, block time.Duration) ([]Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	block = min(max(block, time.Millisecond), MaxBlock)
	cmd := redis.NewSliceCmd(ctx, "XREAD", "COUNT", n, "BLOCK", block.Milliseconds(), "STREAMS", p.Events, after.String())
	err := l.conn.block.process(ctx, p.Events, cmd)
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("follow %s after %s: %w", p.Events, after, err)
	}
	for _, stream := range cmd.Val() {
		if pair, ok := stream.([]any); ok && len(pair) == 2 {
			list, _ := pair[1].([]any)
			return l.followed(ctx, p, after, n, entries(list))
		}
	}
	return nil, nil
}

// followed returns what follows after an id, when the stream had some entries: it may have lost earlier ones.
func (l *Log) followed(ctx context.Context, p Partition, after events.ID, n int, have []Entry) ([]Entry, error) {
	behind, err := l.Behind(ctx, p, after)
	if err != nil {
		return nil, fmt.Errorf("follow %s after %s: %w", p.Events, after, err)
	}
	if !behind {
		return have, nil
	}
	return across(ctx, l, p, after, events.MaxID, n, l.older.Range, l.stream)
}

// Last returns the id of the newest entry of a partition, or the zero ID.
func (l *Log) Last(ctx context.Context, p Partition) (events.ID, error) {
	msgs, err := l.conn.View.XRevRangeN(ctx, p.Events, "+", "-", 1).Result()
	if err != nil || len(msgs) == 0 {
		return events.ID{}, err
	}
	return events.ParseID(msgs[0].ID)
}

// Len returns how many entries a partition holds.
func (l *Log) Len(ctx context.Context, p Partition) (int64, error) {
	return l.conn.View.XLen(ctx, p.Events).Result()
}

// Now returns Redis' clock; of a cluster, the latest of its masters.
func (l *Log) Now(ctx context.Context) (time.Time, error) {
	var mu sync.Mutex
	var latest time.Time
	err := masters(ctx, l.conn.View, func(rdb redis.Cmdable) error {
		now, err := rdb.Time(ctx).Result()
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			if now.After(latest) {
				latest = now
			}
		}
		return err
	})
	return latest, err
}

// entries decodes a reply of XRANGE or XREAD.
func entries(list []any) []Entry {
	out := make([]Entry, 0, len(list))
	for _, item := range list {
		pair, _ := item.([]any)
		if len(pair) != 2 {
			continue
		}
		id := text(pair[0])
		values, _ := pair[1].([]any)
		out = append(out, decode(id, values))
	}
	return out
}

func decode(id string, values []any) Entry {
	bytes := len(id)
	for _, v := range values {
		bytes += len(text(v))
	}
	return entry(id, bytes, func(field string) (string, bool) {
		for i := 0; i+1 < len(values); i += 2 {
			if text(values[i]) == field {
				return text(values[i+1]), true
			}
		}
		return "", false
	})
}

func entry(id string, bytes int, get func(field string) (string, bool)) Entry {
	e, err := events.Decode(id, get)
	return made(id, bytes, e, err)
}

// made is the entry with an id that was decoded.
func made(id string, bytes int, e events.Event, err error) Entry {
	if err != nil {
		e.ID, _ = events.ParseID(id) // Redis wrote it
	}
	return Entry{Event: e, Err: err, bytes: bytes}
}

// Task returns a task as its row tells it. It returns ErrNotFound when there is none, and ErrRebuilding
// when it may have none yet.
func (l *Log) Task(ctx context.Context, id string) (events.Task, error) {
	row, err := l.conn.View.HGetAll(ctx, l.Of(id).Task(id)).Result()
	if err != nil {
		return events.Task{}, fmt.Errorf("read task %s: %w", id, err)
	}
	if len(row) == 0 {
		return events.Task{}, fmt.Errorf("read task %s: %w", id, l.missing(ctx, l.Of(id)))
	}
	t, err := parseRow(id, row)
	if err == nil && definition(row) == "" {
		err = l.define(ctx, &t)
	}
	return t, err
}

// define reads what a task was asked for out of the log, as far as that still holds it, or what is attached to it.
func (l *Log) define(ctx context.Context, t *events.Task) error {
	list, err := l.Range(ctx, l.Of(t.ID), t.Events[0].Prev(), t.Events[0], 1)
	if err != nil {
		return fmt.Errorf("read what task %s was asked for: %w", t.ID, err)
	}
	for _, e := range list {
		if d, ok := e.Data.(events.TaskRequested); ok && e.Task == t.ID {
			t.Definition = d.Definition
		}
	}
	return nil
}

// rowsPerRead bounds what a read of tasks holds at once: a row may have a payload of a MiB.
const rowsPerRead = 20

// ofRows asks something of the rows of tasks of one partition, in one round trip. A key that holds something else
// than a row answers nothing: one of them must not stop the others.
func (l *Log) ofRows(ctx context.Context, p Partition, ids []string, ask func(pipe redis.Pipeliner, row string)) ([]redis.Cmder, error) {
	cmds, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, id := range ids {
			ask(pipe, p.Task(id))
		}
		return nil
	})
	if err != nil && !wrongType(err) {
		return nil, fmt.Errorf("read %d tasks: %w", len(ids), err)
	}
	for i, cmd := range cmds {
		if err := cmd.Err(); err != nil && !wrongType(err) {
			return nil, fmt.Errorf("read task %s: %w", ids[i], err)
		}
	}
	return cmds, nil
}

// Tasks returns the tasks of one partition, in the order of ids, without their payloads, and of completed ones
// with no more of their definitions than the priority; those without a row, or with one that no decision wrote,
// are left out.
func (l *Log) Tasks(ctx context.Context, p Partition, ids []string) ([]events.Task, error) {
	tasks := make([]events.Task, 0, len(ids))
	for some := range slices.Chunk(ids, rowsPerRead) {
		cmds, err := l.ofRows(ctx, p, some, func(pipe redis.Pipeliner, row string) { pipe.HGetAll(ctx, row) })
		if err != nil {
			return nil, err
		}
		for i, cmd := range cmds {
			row := cmd.(*redis.MapStringStringCmd).Val()
			if len(row) == 0 {
				continue
			}
			if t, err := parseRow(some[i], row); err == nil {
				t.Payload = nil
				tasks = append(tasks, t)
			}
		}
	}
	return tasks, nil
}

// LabelsOf returns the queue and the name of tasks of one partition, by id; those without a row are left out.
func (l *Log) LabelsOf(ctx context.Context, p Partition, ids []string) (map[string]events.Label, error) {
	cmds, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, id := range ids {
			pipe.HGet(ctx, p.Task(id), "label")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) && !wrongType(err) {
		return nil, fmt.Errorf("read the labels of %d tasks: %w", len(ids), err)
	}
	found := make(map[string]events.Label, len(ids))
	for i, cmd := range cmds {
		fragment, err := cmd.(*redis.StringCmd).Result()
		if err != nil {
			continue
		}
		if label, err := l.labels.decode(fragment); err == nil {
			found[ids[i]] = label
		}
	}
	return found, nil
}

// wrongType reports that a key holds something else than what we put there.
func wrongType(err error) bool { return strings.HasPrefix(err.Error(), "WRONGTYPE") }

// History returns every event of a task, in order, as far as the log still holds them, or what is attached to it.
func (l *Log) History(ctx context.Context, t events.Task) ([]Entry, error) {
	p := l.Of(t.ID)
	cmds, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, id := range t.Events {
			pipe.Do(ctx, "XRANGE", p.Events, id.String(), id.String())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the events of task %s: %w", t.ID, err)
	}
	history := make([]Entry, 0, len(cmds))
	for i, cmd := range cmds {
		list, err := cmd.(*redis.Cmd).Slice()
		if err != nil {
			return nil, fmt.Errorf("read the events of task %s: %w", t.ID, err)
		}
		if len(list) == 0 && l.older != nil {
			older, err := l.older.Range(ctx, p.N, t.Events[i].Prev(), t.Events[i], 1)
			if err != nil {
				return nil, fmt.Errorf("read the events of task %s: %w", t.ID, err)
			}
			history = append(history, older...)
			continue
		}
		history = append(history, entries(list)...)
	}
	return history, nil
}

// definition is that of a row, a JSON fragment; "" in the row of a completed task.
func definition(row map[string]string) string {
	def := row["def"]
	for n := 1; row["def"+strconv.Itoa(n)] != ""; n++ {
		def += row["def"+strconv.Itoa(n)]
	}
	return def
}

// LaterEvents are those that the fields of a row name, apart from the one that made the row, in no order.
func LaterEvents(fields iter.Seq[string]) (list []events.ID) {
	for field := range fields {
		if field == "" || field[0] < '0' || field[0] > '9' {
			continue
		}
		if id, err := events.ParseID(field); err == nil {
			list = append(list, id)
		}
	}
	return list
}

// parseRow reads a task's row.
func parseRow(id string, row map[string]string) (events.Task, error) {
	t := events.Task{
		ID: id, State: events.State(row["state"]), Token: row["token"], Worker: row["worker"],
	}
	if err := events.ReadFragment(row["label"], &t.Label); err != nil {
		return t, fmt.Errorf("task %s: label in its row: %w", id, err)
	}
	if def := definition(row); def == "" && t.State == events.StateCompleted {
		t.Priority, _ = strconv.Atoi(row["priority"])
	} else if err := events.ReadFragment(def, &t.Definition); err != nil {
		return t, fmt.Errorf("task %s: definition in its row: %w", id, err)
	}
	t.DueAt, _ = strconv.ParseInt(row["dueAt"], 10, 64) // the scripts write integers
	t.Attempt, _ = strconv.Atoi(row["attempt"])
	t.Uncounted, _ = strconv.Atoi(row["uncounted"])
	if i := strings.LastIndexByte(row["retry"], ' '); i >= 0 { // request id, entry id
		t.RetryID = row["retry"][:i]
	}
	requested, err := events.ParseID(row["requested"])
	if err != nil {
		return t, fmt.Errorf("task %s: requested in its row: %w", id, err)
	}
	t.Events = append(LaterEvents(maps.Keys(row)), requested)
	slices.SortFunc(t.Events, events.ID.Compare)
	return t, nil
}
