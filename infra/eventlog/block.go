package eventlog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// blocking runs commands that wait. A cancelled context does not interrupt a read of go-redis, so each
// command gets a connection whose id Redis knows, and another client asks Redis to end the wait.
// Where Redis cannot do that (the embedded one), the end of the wait is waited for.
type blocking struct {
	client *redis.Client
	other  redis.UniversalClient // asks

	mu   sync.Mutex
	idle []*waiter
}

// waiter is a connection that runs one blocking command at a time.
type waiter struct {
	conn *redis.Conn
	id   int64 // as Redis calls it; 0 when it has no name for it
}

// unblockEvery is the time between two tries to end a wait: the first may come before it began.
const unblockEvery = 20 * time.Millisecond

// process runs a command that waits, until it is over or, soon after, ctx is.
func (b *blocking) process(ctx context.Context, cmd redis.Cmder) error {
	w := b.take(ctx)
	over, asked := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(asked)
		b.unblock(w, over)
	})
	err := w.conn.Process(context.WithoutCancel(ctx), cmd)
	close(over)
	if !stop() {
		<-asked // or it would end the wait of whoever gets this connection next
	}
	if err == nil || errors.Is(err, redis.Nil) {
		b.give(w)
	} else {
		_ = w.conn.Close() // a broken connection leaves the pool, another goes back to it
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
		err := b.other.ClientUnblock(ctx, w.id).Err()
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

func (b *blocking) take(ctx context.Context) *waiter {
	b.mu.Lock()
	if n := len(b.idle); n > 0 {
		w := b.idle[n-1]
		b.idle = b.idle[:n-1]
		b.mu.Unlock()
		return w
	}
	b.mu.Unlock()
	w := &waiter{conn: b.client.Conn()}
	// Not within ctx: without an id the wait could not be ended, now or when the connection is used again.
	w.id, _ = w.conn.ClientID(context.WithoutCancel(ctx)).Result() // an error shows again in the command that follows
	return w
}

func (b *blocking) give(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = append(b.idle, w)
}

// close gives all connections back to their pool.
func (b *blocking) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range b.idle {
		_ = w.conn.Close() // it goes back to a pool that is about to close
	}
	b.idle = nil
}
