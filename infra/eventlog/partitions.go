package eventlog

import (
	"context"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

const (
	maxPartitions = 1024
	sampled       = 100 // entries at either end of a stream
)

// UnfixedError reports streams under a prefix whose number of partitions is not written down any more and
// cannot be told from them.
type UnfixedError struct {
	Prefix  string
	Streams int // one more than the number of the last one
	Want    int // what was asked for; 0: nothing
}

// Error says what to set.
func (e *UnfixedError) Error() string {
	if e.Want == 0 {
		return fmt.Sprintf("prefix %q has streams of %d partitions or more, and %s:meta, which says how many, is lost: "+
			"set TASKLOG_PARTITIONS to what it was", e.Prefix, e.Streams, e.Prefix)
	}
	return fmt.Sprintf("prefix %q has streams of %d partitions or more whose tasks do not lie as with %d, and %s:meta, which says how many, "+
		"is lost: set TASKLOG_PARTITIONS to what it was", e.Prefix, e.Streams, e.Want, e.Prefix)
}

// unfixed returns how many partitions to write down where nobody did so far: what was asked for, or 1; unless
// there are streams already. Then it is what these and the places of their tasks agree on, or an *UnfixedError.
func unfixed(ctx context.Context, conn *Conn, cfg Config) (int, error) {
	var exists [maxPartitions]*redis.IntCmd
	if _, err := conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for n := range exists {
			exists[n] = pipe.Exists(ctx, newPartition(cfg.Prefix, n).Events)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	homes, streams := map[uint32]uint32{}, 0
	for n, cmd := range exists {
		if cmd.Val() == 0 {
			continue
		}
		streams = n + 1
		tasks, err := sample(ctx, conn, newPartition(cfg.Prefix, n).Events)
		if err != nil {
			return 0, err
		}
		for _, task := range tasks {
			homes[home(task)] = uint32(n)
		}
	}
	if streams == 0 {
		return max(cfg.Partitions, 1), nil
	}
	var fit []int
	for n := streams; n <= maxPartitions; n++ {
		if (cfg.Partitions == 0 || cfg.Partitions == n) && agree(homes, uint32(n)) {
			fit = append(fit, n)
		}
	}
	if len(fit) != 1 {
		return 0, &UnfixedError{Prefix: cfg.Prefix, Streams: streams, Want: cfg.Partitions}
	}
	return fit[0], nil
}

// agree reports whether with so many partitions each task lies where it does.
func agree(homes map[uint32]uint32, partitions uint32) bool {
	for hash, n := range homes {
		if hash%partitions != n {
			return false
		}
	}
	return true
}

// sample returns tasks of a stream.
func sample(ctx context.Context, conn *Conn, stream string) (tasks []string, err error) {
	first, err := conn.View.XRangeN(ctx, stream, "-", "+", sampled).Result()
	if err != nil {
		return nil, err
	}
	newest, err := conn.View.XRevRangeN(ctx, stream, "+", "-", sampled).Result()
	if err != nil {
		return nil, err
	}
	for _, e := range append(first, newest...) {
		if task, _ := e.Values[events.FieldTask].(string); task != "" {
			tasks = append(tasks, task)
		}
	}
	return tasks, nil
}

// fix writes down how many partitions a prefix has, unless somebody else did meanwhile, and returns what is there.
func fix(ctx context.Context, conn *Conn, cfg Config) (string, error) {
	n, err := unfixed(ctx, conn, cfg)
	if err != nil {
		return "", err
	}
	meta := metaKey(cfg.Prefix)
	if err := settle(ctx, conn, meta, strconv.Itoa(n)); err != nil {
		return "", err
	}
	return conn.View.HGet(ctx, meta, "partitions").Result()
}
