package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

// Dispatch is one entry of a dispatch stream, as a worker reads it: its fields are task, attempt and
// label, a JSON fragment.
type Dispatch struct {
	Entry   events.ID
	Task    string
	Attempt int
	events.Label
	Err error // not an entry of ours: remove it with Discard, for it stops nobody
}

// ErrNoGroup reports that a dispatch stream has no group of workers: it was never served, or was
// destroyed. CreateGroup mends that.
var ErrNoGroup = errors.New("the dispatch stream has no group")

// CreateGroup makes the group of workers of a queue, and its dispatch stream, unless they are there.
func (l *Log) CreateGroup(ctx context.Context, p Partition, queue string) error {
	// From 0 and never from $: an entry that lies there is a task that waits, and Start is conditional.
	err := l.conn.View.XGroupCreateMkStream(ctx, p.Due(queue), Group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("create the group of queue %s: %w", queue, err)
	}
	return nil
}

// Take reads what is due: at most n entries from each of some queues of a partition, for a worker.
// While there are none it waits, for block at the most (not longer than MaxBlock), and then returns
// none. It returns ErrNoGroup when a queue has no group. Whatever else happens, entries may have
// been delivered: Claim finds them again.
func (l *Log) Take(ctx context.Context, p Partition, worker string, queues []string, n int, block time.Duration) ([]Dispatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	args := make([]any, 0, 9+2*len(queues))
	args = append(args, "XREADGROUP", "GROUP", Group, worker, "COUNT", n,
		"BLOCK", min(max(block, time.Millisecond), MaxBlock).Milliseconds(), "STREAMS")
	for _, q := range queues {
		args = append(args, p.Due(q))
	}
	for range queues {
		args = append(args, ">")
	}
	cmd := redis.NewSliceCmd(ctx, args...)
	err := l.conn.block.process(ctx, p.Events, cmd)
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil && strings.HasPrefix(err.Error(), "NOGROUP"):
		return nil, fmt.Errorf("take what is due: %w", ErrNoGroup)
	case err != nil:
		return nil, fmt.Errorf("take what is due: %w", err)
	}
	return l.taken(p, cmd.Val()), nil
}

// taken decodes what a read of dispatch streams answers.
func (l *Log) taken(p Partition, streams []any) (list []Dispatch) {
	for _, stream := range streams {
		if pair, _ := stream.([]any); len(pair) == 2 {
			entries, _ := pair[1].([]any)
			list = append(list, l.dispatches(strings.TrimPrefix(text(pair[0]), p.Due("")), entries)...)
		}
	}
	return list
}

// Claim takes over entries of a queue that were delivered at least idle ago and not started since,
// to whatever worker, at most n, from a cursor on ("0-0" at first). It returns the next cursor;
// "0-0" means that all were looked at.
func (l *Log) Claim(ctx context.Context, p Partition, worker, queue string, idle time.Duration, cursor string, n int) ([]Dispatch, string, error) {
	v, err := l.conn.View.Do(ctx, "XAUTOCLAIM", p.Due(queue), Group, worker, idle.Milliseconds(), cursor, "COUNT", n).Slice()
	if err != nil && strings.HasPrefix(err.Error(), "NOGROUP") {
		return nil, "", fmt.Errorf("claim in queue %s: %w", queue, ErrNoGroup)
	}
	if err != nil {
		return nil, "", fmt.Errorf("claim in queue %s: %w", queue, err)
	}
	if len(v) < 2 {
		return nil, "0-0", nil
	}
	list, _ := v[1].([]any)
	return l.dispatches(queue, list), text(v[0]), nil
}

// Discard removes an entry that is none of ours from a dispatch stream.
func (l *Log) Discard(ctx context.Context, p Partition, queue string, entry events.ID) error {
	_, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.XAck(ctx, p.Due(queue), Group, entry.String())
		pipe.XDel(ctx, p.Due(queue), entry.String())
		return nil
	})
	if err != nil {
		return fmt.Errorf("discard entry %s of queue %s: %w", entry, queue, err)
	}
	return nil
}

// dispatches decodes a list of entries. One without a body was removed while it was pending: the
// reconciler puts its task back, if there is one.
func (l *Log) dispatches(queue string, list []any) []Dispatch {
	out := make([]Dispatch, 0, len(list))
	for _, item := range list {
		pair, _ := item.([]any)
		if len(pair) != 2 || pair[1] == nil {
			continue
		}
		id, _ := events.ParseID(text(pair[0])) // Redis wrote it
		d := Dispatch{Entry: id}
		var err error // the first thing that is wrong
		values, _ := pair[1].([]any)
		for i := 0; i+1 < len(values); i += 2 {
			switch v := text(values[i+1]); text(values[i]) {
			case "task":
				d.Task = v
			case "attempt":
				var wrong error
				d.Attempt, wrong = strconv.Atoi(v)
				err = cmp.Or(err, wrong)
			case "label":
				var wrong error
				d.Label, wrong = l.labels.decode(v)
				err = cmp.Or(err, wrong)
			}
		}
		if err == nil && (d.Task == "" || d.Attempt < 1) {
			err = errors.New("it names no task or no attempt")
		}
		if err != nil {
			d.Err = fmt.Errorf("entry %s of queue %s is not a dispatched task: %w", id, queue, err)
		}
		d.Queue = queue
		out = append(out, d)
	}
	return out
}
