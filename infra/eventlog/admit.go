package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultAdmit is how full Redis may be, in percent of its maxmemory, when a task is taken. The rest is
// for what accepted tasks still append: a request is a third or so of a task's events.
const DefaultAdmit = 75

// ErrFull reports that Redis is too full for more tasks. Nothing was appended. It counts as
// Unavailable: the same request may be taken later.
var ErrFull = errors.New("redis is too full to take more tasks")

// admission remembers how full Redis was.
type admission struct {
	mu      sync.Mutex   // held by who looks
	looked  atomic.Int64 // when, ns of the process's clock
	percent atomic.Int64 // of maxmemory
}

const (
	admitEvery = time.Second            // between two looks
	admitWait  = 500 * time.Millisecond // for an answer
)

var processStart = time.Now()

// fullest returns how much of its maxmemory that server uses, in percent, that uses most; 0 when none has one.
func fullest(servers []Server) (percent int64) {
	for _, s := range servers {
		if s.MaxMemory > 0 {
			percent = max(percent, s.Memory*100/s.MaxMemory)
		}
	}
	return percent
}

// Admit returns an ErrFull when Redis, or one master of a cluster, uses so much of its maxmemory, in percent, or more. It looks
// once a second at the most, and only when it is called; who calls meanwhile gets the last answer.
// Where Redis has no maxmemory or does not tell, there is always room: it says itself when there is none.
func (c *Conn) Admit(ctx context.Context, percent int) error {
	a := &c.admission
	now := time.Since(processStart).Nanoseconds() + admitEvery.Nanoseconds() // more than 0: never looked
	if now-a.looked.Load() >= admitEvery.Nanoseconds() && a.mu.TryLock() {
		a.looked.Store(now)
		asking, cancel := context.WithTimeout(ctx, admitWait)
		servers, err := c.servers(asking, "memory")
		cancel()
		switch {
		case err != nil && ctx.Err() != nil: // the caller has gone: the last answer stands
		case err != nil: // the request itself will find out
			a.percent.Store(0)
		default:
			a.percent.Store(fullest(servers))
		}
		a.mu.Unlock()
	}
	if used := a.percent.Load(); used >= int64(percent) && used > 0 {
		return fmt.Errorf("%w: %d %% of its maxmemory are in use, and from %d %% on none is taken", ErrFull, used, percent)
	}
	return nil
}
