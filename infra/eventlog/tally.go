package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

//go:embed tally.lua
var tallySource string

var tallyScript = newScript(tallySource)

// Tallier is who notes how far the log was tallied, among Partition.Readers.
const Tallier = "janitor"

// ErrTallied reports that the log is noted up to another entry than the caller thought.
var ErrTallied = errors.New("another one notes which tasks are over")

// Ending tells that a task is over, or under way again.
type Ending struct {
	Task, Queue string
	At          events.ID // of the event that ended it; zero: it is under way again
}

// NewEnding returns what an entry changes about who is over, and false when it is nothing. That an id is
// asked for again changes nothing: what is noted of its life before is too old to be among the newest.
func NewEnding(e Entry) (Ending, bool) {
	if e.Err != nil {
		return Ending{}, false
	}
	d := Ending{Task: e.Task, Queue: e.Data.About().Queue}
	if events.Next(e.Data).Final() {
		d.At = e.ID
		return d, true
	}
	_, again := e.Data.(events.TaskRetryRequested)
	return d, again
}

// orderOf is a score by which ends are sorted as in the log: a double holds it, exactly, for two hundred years. Those
// after the first 1023 entries of one ms, which Redis appends only while its clock goes back, have no order: of them
// any may go first.
func orderOf(id events.ID) int64 { return id.Ms<<10 + int64(min(id.Seq, 1<<10-1)) }

// Tallied returns the id up to which the log of a partition is noted.
func (l *Log) Tallied(ctx context.Context, p Partition) (events.ID, error) {
	at, err := l.conn.View.HGet(ctx, p.Readers, Tallier).Result()
	if errors.Is(err, redis.Nil) {
		return events.ID{}, nil
	}
	if err != nil {
		return events.ID{}, fmt.Errorf("read %s: %w", p.Readers, err)
	}
	id, err := events.ParseID(at)
	if err != nil {
		return id, fmt.Errorf("read %s: %s: %w; delete the field, and it is noted again", p.Readers, Tallier, err)
	}
	return id, nil
}

// Tally notes which tasks of a partition are over by the entries after one id and up to another, for Retire: at
// most MaxItems, in the order of the log. From the first time on, entries that were not noted are not trimmed.
// It returns ErrTallied when the log is not noted up to after.
func (l *Log) Tally(ctx context.Context, p Partition, after, upto events.ID, list []Ending) error {
	keys := make([]string, 0, 1+len(list))
	keys = append(keys, p.Readers)
	args := make([]any, 0, 3+2*len(list))
	args = append(args, Tallier, after.String(), upto.String())
	for _, d := range list {
		order := ""
		if !d.At.IsZero() {
			order = itoa(orderOf(d.At))
		}
		keys = append(keys, p.Finished(d.Queue))
		args = append(args, d.Task, order)
	}
	r, err := decide(ctx, l.conn.View, tallyScript, keys, args...)
	if err == nil && r.str(0) != "ok" {
		err = ErrTallied
	}
	if err != nil {
		return fmt.Errorf("note which tasks of partition %d are over, up to %s: %w", p.N, upto, err)
	}
	return nil
}

// Untally forgets which tasks of a partition are over, and lets the log be trimmed, if it was noted.
func (l *Log) Untally(ctx context.Context, p Partition) error {
	noted, err := l.conn.View.HExists(ctx, p.Readers, Tallier).Result()
	if err == nil && noted {
		var queues []string
		queues, err = l.conn.View.SMembers(ctx, p.Queues).Result()
		for some := range slices.Chunk(queues, MaxItems) {
			if err != nil {
				break
			}
			keys := make([]string, len(some))
			for i, queue := range some {
				keys[i] = p.Finished(queue)
			}
			err = l.conn.View.Unlink(ctx, keys...).Err()
		}
	}
	if err == nil && noted { // at the end, so that what was left undone is seen
		err = l.conn.View.HDel(ctx, p.Readers, Tallier).Err()
	}
	if err != nil {
		return fmt.Errorf("forget which tasks of partition %d are over: %w", p.N, err)
	}
	return nil
}
