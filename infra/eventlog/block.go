package eventlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// blocking runs commands that wait. A cancelled context does not interrupt a read of go-redis, so each
// command gets a connection whose id Redis knows, and another connection asks Redis to end the wait.
// Where Redis cannot do that (the embedded one), the end of the wait is waited for.
type blocking struct {
	client redis.UniversalClient

	mu   sync.Mutex
	idle map[*redis.Client][]*waiter // by server
}

// waiter is a connection that runs one blocking command at a time.
type waiter struct {
	conn   *redis.Conn
	server *redis.Client
	id     int64 // as Redis calls it; 0 when it has no name for it
}

// unblockEvery is the time between two tries to end a wait: the first may come before it began.
const unblockEvery = 20 * time.Millisecond

// process runs a command on a key that waits, until it is over or, soon after, ctx is.
func (b *blocking) process(ctx context.Context, key string, cmd redis.Cmder) error {
	server, err := holder(ctx, b.client, key)
	if err != nil {
		return err
	}
	w := b.take(ctx, server)
	over, asked := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(asked)
		b.unblock(w, over)
	})
	err = w.conn.Process(context.WithoutCancel(ctx), cmd)
	close(over)
	if !stop() {
		<-asked // or it would end the wait of whoever gets this connection next
	}
	if err == nil || errors.Is(err, redis.Nil) {
		b.give(w)
	} else {
		_ = w.conn.Close() // a broken connection leaves the pool, another goes back to it
		stale(ctx, b.client, err)
	}
	return err
}

// unblock asks Redis to end the wait of w, until it is over.
func (b *blocking) unblock(w *waiter, over <-chan struct{}) {
	if w.id == 0 {
		return
	}
	tick := time.NewTicker(unblockEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := w.server.ClientUnblock(ctx, w.id).Err()
		cancel()
		if err != nil {
			return // Redis is away, and the read ends with its deadline
		}
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

func (b *blocking) take(ctx context.Context, server *redis.Client) *waiter {
	b.mu.Lock()
	if list := b.idle[server]; len(list) > 0 {
		w := list[len(list)-1]
		b.idle[server] = list[:len(list)-1]
		b.mu.Unlock()
		return w
	}
	b.mu.Unlock()
	w := &waiter{conn: server.Conn(), server: server}
	// Not within ctx: without an id the wait could not be ended, now or when the connection is used again.
	w.id, _ = w.conn.ClientID(context.WithoutCancel(ctx)).Result() // an error shows again in the command that follows
	return w
}

func (b *blocking) give(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.idle == nil {
		b.idle = map[*redis.Client][]*waiter{}
	}
	b.idle[w.server] = append(b.idle[w.server], w)
}

// close gives all connections back to their pools.
func (b *blocking) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.idle {
		for _, w := range list {
			_ = w.conn.Close() // it goes back to a pool that is about to close
		}
	}
	b.idle = nil
}
