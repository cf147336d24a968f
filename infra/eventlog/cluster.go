package eventlog

import (
	"context"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// masters calls f with the server, or with each master of a cluster at once, and returns nil when one of them
// returned nil.
func masters(ctx context.Context, rdb redis.UniversalClient, f func(redis.Cmdable) error) error {
	cluster, ok := rdb.(*redis.ClusterClient)
	if !ok {
		return f(rdb)
	}
	var answered atomic.Bool
	err := cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		err := f(node)
		if err == nil {
			answered.Store(true)
		}
		return err
	})
	if answered.Load() {
		return nil
	}
	return err
}

// holder returns the client of the server that holds a key: of a cluster, that of one master.
func holder(ctx context.Context, rdb redis.UniversalClient, key string) (*redis.Client, error) {
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	return rdb.(*redis.Client), nil // Connect makes no others
}

// Glance returns a pipeline for reads of one partition. In a cluster it is a transaction: what has no key, as TIME,
// then goes to the server that holds the keys.
func (c *Conn) Glance() redis.Pipeliner {
	if _, ok := c.View.(*redis.ClusterClient); ok {
		return c.Batch.TxPipeline()
	}
	return c.Batch.Pipeline()
}

// reload makes a cluster's client ask again which server holds what, whenever a server does not answer or says
// that it does not hold it: by itself the client asks once a minute, and when it follows a redirection.
type reload struct{ *redis.ClusterClient }

// DialHook implements redis.Hook.
func (r reload) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (r reload) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		stale(ctx, r.ClusterClient, err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (r reload) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		stale(ctx, r.ClusterClient, err)
		for _, cmd := range cmds {
			stale(ctx, r.ClusterClient, cmd.Err())
		}
		return err
	}
}

// stale judges by an answer whether a cluster's client may know old places.
func stale(ctx context.Context, rdb redis.UniversalClient, err error) {
	if cluster, ok := rdb.(*redis.ClusterClient); ok && err != nil && Unavailable(err) && ctx.Err() == nil {
		cluster.ReloadState(ctx)
	}
}
