package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
)

//go:embed due.lua
var dueSource string

var dueScript = newScript(dueSource)

// placeBytes is the length of what stands before the task id in a member of waiting:<queue>.
const placeBytes = 25

// Dispatched tells what Due did.
type Dispatched struct {
	Done   int  // tasks made due
	Room   int  // entries that still fit into the dispatch stream
	Paused bool // the queue is paused: nothing was done
}

// Due appends TaskDue for members of waiting:<queue>, best first, at most MaxItems, and hands them
// to the workers, as long as the dispatch stream holds fewer than room entries. Members that name no
// task are removed.
func (l *Log) Due(ctx context.Context, p Partition, queue string, room int, members []string) (Dispatched, error) {
	return l.due(ctx, p, queue, room, "", members)
}

// DueAll is Due for one who has not looked at what waits, and knows these members from the log: where more tasks
// wait, of which some may be more urgent, it does nothing.
func (l *Log) DueAll(ctx context.Context, p Partition, queue string, room int, members []string) (Dispatched, error) {
	return l.due(ctx, p, queue, room, strconv.Itoa(len(members)), members)
}

// due calls the script; most is how many tasks may wait in all, or "".
func (l *Log) due(ctx context.Context, p Partition, queue string, room int, most string, members []string) (Dispatched, error) {
	keys := make([]string, 0, 5+len(members))
	keys = append(keys, p.Events, p.Waiting(queue), p.Due(queue), p.Ready, p.Paused)
	args := make([]any, 0, 3+len(members))
	args = append(args, queue, room, most)
	var foreign []any
	for _, m := range members {
		if len(m) <= placeBytes {
			foreign = append(foreign, m)
			continue
		}
		keys = append(keys, p.Task(m[placeBytes:]))
		args = append(args, m)
	}
	if len(foreign) > 0 { // they name no task, and would stand in the way of those that do
		if err := l.conn.Batch.ZRem(ctx, p.Waiting(queue), foreign...).Err(); err != nil {
			return Dispatched{}, fmt.Errorf("remove foreign members of queue %s: %w", queue, err)
		}
	}
	a, err := decide(ctx, l.conn.Batch, dueScript, keys, args...)
	if err != nil {
		return Dispatched{}, fmt.Errorf("make %d tasks of queue %s due: %w", len(members), queue, err)
	}
	return Dispatched{Done: int(a.int(0)), Room: int(a.int(1)), Paused: a.int(2) == 1}, nil
}
