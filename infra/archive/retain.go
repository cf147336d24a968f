package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Retention says what may leave the stream: an entry may when one of the limits says so. The zero
// Retention lets all stay.
type Retention struct {
	// Age lets entries go that are older. Zero is no limit.
	Age time.Duration `env:"TASKLOG_RETAIN_AGE" usage:"how old, at the most, events in Redis are (default any age)"`
	// Bytes lets the oldest entries of a partition go while its stream takes more memory. Zero is no limit.
	Bytes int64 `env:"TASKLOG_RETAIN_BYTES" usage:"bytes of Redis memory that the events of a partition take at the most (default any)"`
	// Events lets the oldest entries of a partition go while there are more. Zero is no limit.
	Events int64 `env:"TASKLOG_RETAIN_EVENTS" usage:"how many events of a partition are in Redis at the most (default any number)"`
}

// Validate names the first limit that is out of range, if one is.
func (r Retention) Validate() error {
	for _, l := range []struct {
		field string
		wrong bool
	}{{"retain age", r.Age < 0}, {"retain bytes", r.Bytes < 0}, {"retain events", r.Events < 0}} {
		if l.wrong {
			return &events.FieldError{Field: l.field, Reason: "must not be below 0"}
		}
	}
	return nil
}

// limit is a Retention for the stream as it is.
type limit struct {
	before events.ID // entries up to it may go, because of their age
	first  int64     // so many of the oldest may go, because of all others
}

// limit looks at the stream of a partition.
func (r Retention) limit(ctx context.Context, log *eventlog.Log, p eventlog.Partition) (limit, error) {
	var l limit
	n, err := log.Len(ctx, p)
	if err != nil || n == 0 {
		return l, err
	}
	if r.Age > 0 {
		now, err := log.Now(ctx)
		if err != nil {
			return l, err
		}
		l.before = events.ID{Ms: max(0, now.Add(-r.Age).UnixMilli())}.Prev()
	}
	if r.Events > 0 {
		l.first = n - r.Events
	}
	if r.Bytes > 0 {
		bytes, err := log.Conn().View.MemoryUsage(ctx, p.Events).Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return l, fmt.Errorf("memory of %s: %w", p.Events, err)
		}
		if bytes > r.Bytes {
			l.first = max(l.first, int64(float64(n)*(1-float64(r.Bytes)/float64(bytes))))
		}
	}
	return l, nil
}

// lets reports whether entry number i of the stream, counted from 0, may go.
func (l limit) lets(i int64, id events.ID) bool { return i < l.first || id.Compare(l.before) <= 0 }
