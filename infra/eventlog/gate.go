package eventlog

import (
	"context"
	_ "embed"
	"errors"
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

// rebuildingReply is what gate.lua answers.
const rebuildingReply = "REBUILDING "

// gateOf returns the gate of the partition that a key lies in. A prefix has no braces, so that the first
// pair is that of the partition.
func gateOf(key string) string {
	base, _, _ := strings.Cut(key, "}:")
	return base + "}:" + gateName
}

// missing is why there is no row of a task: ErrNotFound, or ErrRebuilding while rows are being made again.
func (l *Log) missing(ctx context.Context, p Partition) error {
	shut, err := l.conn.View.Exists(ctx, p.Rebuild).Result()
	switch {
	case err != nil:
		return err
	case shut == 1:
		return ErrRebuilding
	}
	return ErrNotFound
}

// rebuilding turns the answer of a gate that is shut into ErrRebuilding.
func rebuilding(err error) error {
	if reply, ok := errors.AsType[redis.Error](err); ok && strings.HasPrefix(reply.Error(), rebuildingReply) {
		return ErrRebuilding
	}
	return err
}
