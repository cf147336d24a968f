package eventlog

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// Together asks for reads in one transaction, so that they see one moment. A Redis that is over its maxmemory queues
// nothing for a transaction, not even a read: there they go in one pipeline, in which something can happen between
// two of them. That is little, because such a Redis takes no tasks and saves no views. reads may be called twice.
func Together(ctx context.Context, rdb redis.Cmdable, reads func(redis.Pipeliner) error) ([]redis.Cmder, error) {
	cmds, err := rdb.TxPipelined(ctx, reads)
	if answered(err, "EXECABORT") {
		return rdb.Pipelined(ctx, reads)
	}
	return cmds, err
}
