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
	mu     sync.Mutex   // held by who looks
	looked atomic.Int64 // when, ns of the process's clock

	used, limit atomic.Int64 // bytes: of that server which is the fullest; limit is 0 where none has one
	taken       atomic.Int64 // bytes, about: of what was admitted since
}

const (
	admitEvery = time.Second            // between two looks
	admitSoon  = 10 * time.Millisecond  // between two looks while much is taken
	admitWait  = 500 * time.Millisecond // for an answer
	admitPart  = 4                      // of what was free, such a part may be taken before the next look: others take, too
)

var processStart = time.Now()

// fullest returns the memory of that server, and its limit, which uses most of it; zeros when none has a limit.
func fullest(servers []Server) (used, limit int64) {
	for _, s := range servers {
		if s.MaxMemory > 0 && (limit == 0 || float64(s.Memory)/float64(s.MaxMemory) > float64(used)/float64(limit)) {
			used, limit = s.Memory, s.MaxMemory
		}
	}
	return used, limit
}

// weight is about what tasks take of Redis' memory: their payload in the log and in the row, and all else.
func weight(rs []Request) (bytes int64) {
	for _, r := range rs {
		bytes += 2*int64(len(r.Payload)) + 1<<10
	}
	return bytes
}

// Admit returns an ErrFull when Redis, or one master of a cluster, uses so much of its maxmemory, in percent, or more,
// with what was admitted since it looked. It looks once a second at the most, and sooner when much was; and only
// when it is called: who calls meanwhile gets the last answer.
// Where Redis has no maxmemory or does not tell, there is always room: it says itself when there is none.
func (c *Conn) Admit(ctx context.Context, percent int, rs ...Request) error {
	a, more := &c.admission, weight(rs)
	taken := a.taken.Add(more)
	free := func() int64 { return a.limit.Load()/100*int64(percent) - a.used.Load() }
	now := time.Since(processStart).Nanoseconds() + admitEvery.Nanoseconds() // more than 0: never looked
	wait := admitEvery
	if a.limit.Load() > 0 && taken*admitPart > free() {
		wait = admitSoon
	}
	if now-a.looked.Load() >= wait.Nanoseconds() && a.mu.TryLock() {
		a.looked.Store(now)
		asking, cancel := context.WithTimeout(ctx, admitWait)
		servers, err := c.servers(asking, "memory")
		cancel()
		if err == nil || ctx.Err() == nil { // else the caller has gone: the last answer stands
			used, limit := fullest(servers) // zeros after an error: the request itself will find out
			a.used.Store(used)
			a.limit.Store(limit)
			a.taken.Store(more)
		}
		a.mu.Unlock()
	}
	if limit := a.limit.Load(); limit > 0 && a.taken.Load() >= free() {
		return fmt.Errorf("%w: %d %% of its maxmemory are in use, and from %d %% on none is taken", ErrFull, (a.used.Load()+a.taken.Load())*100/limit, percent)
	}
	return nil
}
