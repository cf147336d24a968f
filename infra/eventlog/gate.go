package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed gate.lua
var gate string

// ErrRebuilding reports that the state of a partition is being made again from its log. Nothing was
// decided, and nothing appended. It counts as Unavailable: the same may be asked for again. A rebuild that
// was killed leaves the gate shut, until another one ends.
var ErrRebuilding = errors.New("the state is being made again from the log; " +
	"where nobody does that any more, run `tasklog replay --state` again")

const (
	rebuildingReply = "REBUILDING "                                                  // what gate.lua answers
	rebuildingState = "the state of this partition is being made again from the log" // and why, when it is no copy
)

// gateOf returns the gate of the partition that a key lies in. A prefix has no braces, so that the first
// pair is that of the partition.
func gateOf(key string) string {
	base, _, _ := strings.Cut(key, "}:")
	return base + "}:" + gateName
}

// Gate returns what shuts a partition, or "" when it is open.
func (l *Log) Gate(ctx context.Context, p Partition) (string, error) {
	gate, err := l.conn.View.Get(ctx, p.Rebuild).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("look at the gate of partition %d: %w", p.N, err)
	}
	return gate, nil
}

// missing is why there is no row of a task: ErrNotFound, or ErrRebuilding while rows are being made again.
func (l *Log) missing(ctx context.Context, p Partition) error {
	gate, err := l.Gate(ctx, p)
	switch why := Why(gate); {
	case err != nil:
		return err
	case why != "":
		return &ShutError{why}
	case gate != "":
		return ErrRebuilding
	}
	return ErrNotFound
}

// rebuilding turns the answer of a gate that is shut into ErrRebuilding.
func rebuilding(err error) error {
	reply, ok := errors.AsType[redis.Error](err)
	if !ok {
		return err
	}
	why, shut := strings.CutPrefix(reply.Error(), rebuildingReply)
	switch {
	case !shut:
		return err
	case why == rebuildingState:
		return ErrRebuilding
	}
	return &ShutError{why}
}
