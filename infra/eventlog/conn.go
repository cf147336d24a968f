package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Conn is the clients of one Redis, a client for each kind of traffic, so that none can starve
// another.
type Conn struct {
	Decide redis.UniversalClient // AutoPipeline: decisions and mutexes, from many goroutines at once
	Batch  redis.UniversalClient // decisions that a call takes for many: in an AutoPipeline one would wait for the other
	Block  redis.UniversalClient // blocking reads and subscriptions
	Lease  redis.UniversalClient // extensions of leases, and nothing else
	View   redis.UniversalClient // reads of people and dashboards
	close  []io.Closer
	block  *blocking // over Block
	more   func() redis.UniversalClient

	admission admission
}

// Connect parses a Redis URL (redis://, rediss://, unix://) and returns its clients. It asks
// nothing of the server yet: use Ping to see whether that is there.
//
// With ?cluster=true it is a cluster, and addr=host:port, as often as wanted, names more of its nodes. With
// ?master_name=NAME host and addr are sentinels, which know the master.
//
// rediss:// is TLS, 1.2 at least, and the server must prove its name. Its query may name PEM files: ca, the
// authorities to trust instead of the system's, and cert and key, with which we prove who we are.
func Connect(url string) (*Conn, error) {
	at, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("redis URL: %w; want redis://[user:password@]host:port/db", err)
	}
	c := &Conn{}
	client := func(pool int, read time.Duration) pipeliner {
		rdb := at.open(pool, read)
		c.close = append(c.close, rdb)
		return rdb
	}
	c.more = func() redis.UniversalClient { return at.open(8, MaxBlock+answer) }
	// A pipeline of its own for each quarter of the keys: while Redis works on one batch, another is
	// made. No caller has two commands under way, so their order does not matter.
	pipeline := redis.DefaultBlockingAutoPipelineOptions()
	pipeline.NumShards = 4
	ap, err := client(10, answer).AutoPipelineWithOptions(pipeline)
	if err != nil {
		return nil, fmt.Errorf("redis pipeline: %w", err)
	}
	// As many as there are reads that wait: a few for each partition. Only what is used is opened.
	c.Decide, c.Batch, c.Block, c.Lease, c.View = ap, client(32, answer), client(8192, MaxBlock+answer), client(4, answer), client(10, answer)
	c.block = &blocking{client: c.Block}
	return c, nil
}

// Dedicated returns one more client, for blocking reads by code that insists on closing what it was
// given, as Watermill's Redis subscriber does. The caller closes it; Close does not.
func (c *Conn) Dedicated() redis.UniversalClient { return c.more() }

// Ping returns nil when Redis answers; of a cluster, one of its masters.
func (c *Conn) Ping(ctx context.Context) error {
	return masters(ctx, c.Lease, func(rdb redis.Cmdable) error { return rdb.Ping(ctx).Err() })
}

// Close closes every client. Calls under way end with an error.
func (c *Conn) Close() error {
	c.block.close()
	errs := []error{c.Decide.Close()}
	for _, cl := range c.close {
		if err := cl.Close(); !errors.Is(err, redis.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil && !errors.Is(err, redis.ErrClosed) {
		return err
	}
	return nil
}

// Full reports whether an error says that Redis is too full: an ErrFull, or an answer of its own. Nothing was appended.
func Full(err error) bool { return errors.Is(err, ErrFull) || answered(err, "OOM") }

// Refuses reports whether an error is the answer of a Redis that takes no writes now: it is full, a replica, or cannot
// save. Nothing was appended. It counts as Unavailable.
func Refuses(err error) bool {
	return Full(err) || answered(err, "MISCONF", "READONLY", "NOREPLICAS")
}

// Unavailable reports whether an error says that Redis cannot be reached or cannot write now.
// What was asked may have happened, and may be asked again.
func Unavailable(err error) bool {
	if err == nil {
		return false
	}
	var netErr net.Error
	if errors.Is(err, ErrRebuilding) {
		return true
	}
	if errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrClosed) {
		return true
	}
	return Refuses(err) || answered(err, "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED ", "ASK ", "BUSY ",
		"ERR max number of clients", "UNBLOCKED")
}

// answered reports whether an error is an answer of Redis that begins with one of these, there or in what a script
// tells of it.
func answered(err error, prefixes ...string) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return false
	}
	return slices.ContainsFunc(prefixes, func(prefix string) bool {
		return strings.HasPrefix(reply.Error(), prefix) || strings.Contains(reply.Error(), "-"+prefix)
	})
}
