package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

// Config chooses the log.
type Config struct {
	// Prefix stands before every key. Empty means "tasklog".
	Prefix string `env:"TASKLOG_PREFIX"`
	// Partitions is how many streams the log has. Zero means what the prefix was first used
	// with, or else 1. It cannot change.
	Partitions int `env:"TASKLOG_PARTITIONS"`
	// Retention is how long the row of a task stays after the task's end: until then it can be retried, listed
	// and shown, and its id not be asked for again. Its events stay. Zero means events.DefaultRetention; under
	// a minute is an error. It must be the same for all who append.
	Retention time.Duration `env:"TASKLOG_RETENTION" usage:"how long a task that is over can be retried and listed, and its id not be used again"`

	// AnyRows opens a log whose rows another version has written, to make them again: see Rewritten.
	AnyRows bool
}

// The limits of Config.Retention.
const (
	// MinRetention is how long a row stays after its task's end in any case: within it an answer that was
	// lost is asked for again.
	MinRetention = time.Minute
	maxRetention = 100 * 366 * 24 * time.Hour
)

// DefaultConfig returns what the zero Config means, but for Prefix and Partitions.
func DefaultConfig() Config { return Config{Retention: events.DefaultRetention} }

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = "tasklog"
	}
	if c.Retention == 0 {
		c.Retention = events.DefaultRetention
	}
	return c
}

// Log appends to the log and reads it. Its methods may be called from many goroutines.
type Log struct {
	conn   *Conn
	meta   string // key of what is fixed at the first use
	parts  []Partition
	labels labels
	older  Older         // nil when none is attached
	kept   time.Duration // how long the row of a task stays after its end

	longest record // bytes of an entry that Pages met

	requests, starts, finishes groups // by partition, and by what else the items of a script share
}

// Open returns the log under a prefix and fixes its number of partitions at the first use.
// It returns an *ErrPartitions when the prefix has another number, an *UnfixedError when what was fixed is
// lost and the streams do not tell, and a *LayoutError when the rows are of another version.
func Open(ctx context.Context, conn *Conn, cfg Config) (*Log, error) {
	cfg = cfg.withDefaults()
	if err := events.ValidateName("prefix", cfg.Prefix); err != nil {
		return nil, err
	}
	if cfg.Partitions < 0 || cfg.Partitions > maxPartitions {
		return nil, &events.FieldError{Field: "partitions", Reason: fmt.Sprintf("%d is not between 1 and 1024", cfg.Partitions)}
	}
	if cfg.Retention < MinRetention || cfg.Retention > maxRetention {
		return nil, &events.FieldError{Field: "retention", Reason: fmt.Sprintf("%s is not between %s and a hundred years", cfg.Retention, MinRetention)}
	}
	want := max(cfg.Partitions, 1)
	meta := metaKey(cfg.Prefix)
	have, err := conn.View.HGet(ctx, meta, "partitions").Result()
	if errors.Is(err, redis.Nil) { // only the first use writes: a user who may only read can open the log
		have, err = fix(ctx, conn, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	n, err := strconv.Atoi(have)
	if err != nil || n < 1 || cfg.Partitions != 0 && n != cfg.Partitions {
		return nil, &ErrPartitions{Prefix: cfg.Prefix, Have: have, Want: strconv.Itoa(want)}
	}
	if !cfg.AnyRows {
		if err := readable(ctx, conn, cfg.Prefix); err != nil {
			return nil, fmt.Errorf("open the log: %w", err)
		}
	}
	l := &Log{conn: conn, meta: meta, kept: cfg.Retention}
	for i := range n {
		l.parts = append(l.parts, newPartition(cfg.Prefix, i))
	}
	return l, nil
}

// ErrForgotten reports that Redis does not know the log any more.
var ErrForgotten = errors.New("redis has forgotten this log: it was flushed, or came back without its data")

// Confirm returns nil as long as Redis knows the log, an ErrForgotten once when it does not (the log
// then begins again, empty), and an *ErrPartitions when it has another number of partitions by now.
func (l *Log) Confirm(ctx context.Context) error {
	have, err := l.conn.View.HGet(ctx, l.meta, "partitions").Result()
	n := strconv.Itoa(len(l.parts))
	switch {
	case errors.Is(err, redis.Nil):
		if err := settle(ctx, l.conn, l.meta, n); err != nil {
			return fmt.Errorf("confirm the log: %w", err)
		}
		return ErrForgotten
	case err != nil:
		return fmt.Errorf("confirm the log: %w", err)
	case have != n:
		return &ErrPartitions{Prefix: l.Prefix(), Have: have, Want: n}
	}
	return nil
}

// Prefix returns what stands before every key.
func (l *Log) Prefix() string { return strings.TrimSuffix(l.meta, metaSuffix) }

// Retention returns how long the row of a task stays after the task's end.
func (l *Log) Retention() time.Duration { return l.kept }

// Conn returns the clients that the log uses.
func (l *Log) Conn() *Conn { return l.conn }

//go:embed prelude.lua
var prelude string

// newScript makes a decision out of a .lua file.
func newScript(source string) *redis.Script { return redis.NewScript(prelude + gate + source) }

// newUngated makes a script that needs no state of tasks, and works while that is made again.
func newUngated(source string) *redis.Script { return redis.NewScript(prelude + source) }

// repeats is how often a decision is asked for again after an error that leaves it unknown, and
// how long after each.
var repeats = []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond}

// decide runs a script until Redis has answered, the context ends or the repeats are used up.
// After SCRIPT FLUSH or a restart Redis answers NOSCRIPT: Run then sends the source.
func decide(ctx context.Context, rdb redis.Scripter, s *redis.Script, keys []string, args ...any) (reply, error) {
	return repeated(ctx, func() (reply, error) { return ask(ctx, rdb, s, keys, args) })
}

// repeated calls f until Redis has answered, the context ends or the repeats are used up.
func repeated[V any](ctx context.Context, f func() (V, error)) (V, error) {
	for try := 0; ; try++ {
		v, err := f()
		if !again(err, try) || ctx.Err() != nil {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, errors.Join(err, context.Cause(ctx))
		case <-time.After(repeats[try]):
		}
	}
}

// ask runs a script once. Every script gets one key more than it says: the gate of its partition.
func ask(ctx context.Context, rdb redis.Scripter, s *redis.Script, keys []string, args []any) (reply, error) {
	v, err := s.Run(ctx, rdb, append(slices.Clip(keys), gateOf(keys[0])), args...).Result()
	if err != nil {
		return reply{}, rebuilding(err)
	}
	return newReply(v), nil
}

// again reports whether a script is to be run again after an error of the try of that number.
func again(err error, try int) bool {
	return Unavailable(err) && !errors.Is(err, redis.ErrClosed) && !Closed(err) && try < len(repeats)
}

// reply is what a script returned: a list, or a string of lines, which costs Redis less. Its
// accessors return zero values for what is not there.
type reply []string

func newReply(v any) reply {
	list, ok := v.([]any)
	if !ok {
		return strings.Split(text(v), "\n")
	}
	r := make(reply, len(list))
	for i, item := range list {
		r[i] = text(item)
	}
	return r
}

func (r reply) str(i int) string {
	if i >= len(r) {
		return ""
	}
	return r[i]
}

func (r reply) int(i int) int64 {
	n, _ := strconv.ParseInt(r.str(i), 10, 64) // our scripts write integers
	return n
}

func (r reply) id(i int) events.ID {
	id, _ := events.ParseID(r.str(i)) // Redis wrote it
	return id
}

// text returns what Redis sent as a string.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return ""
}

// Outcome is what a decision did to a task.
type Outcome struct {
	State events.State // of the task now
	DueAt int64        // ms: when it is due next, where the state has such a time
	Event events.ID    // the entry id of the event
}

// ErrFenced reports that another attempt holds the task, or none. Nothing was recorded; trying
// again cannot help.
var ErrFenced = errors.New("fenced")

// FencedError is an ErrFenced that says what the task's row holds.
type FencedError struct {
	State   events.State
	Attempt int
}

// Error says who fences.
func (e *FencedError) Error() string {
	if e.State == events.StateNone {
		return "fenced: there is no such task"
	}
	return fmt.Sprintf("fenced: the task is %s in attempt %d", e.State, e.Attempt)
}

// Is makes a FencedError an ErrFenced.
func (e *FencedError) Is(target error) bool { return target == ErrFenced }

// outcome reads {'ok', state, due at, entry id} | {'fenced', state, attempt}.
func (r reply) outcome() (Outcome, error) {
	if r.str(0) != "ok" {
		return Outcome{}, &FencedError{State: events.State(r.str(1)), Attempt: int(r.int(2))}
	}
	return Outcome{State: events.State(r.str(1)), DueAt: r.int(2), Event: r.id(3)}, nil
}

// ms is a duration in whole milliseconds, at least 0, as an argument of a script.
func ms(d time.Duration) int64 { return max(0, d.Milliseconds()) }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// retryArg is the delay of a retry as scripts take it: none is ”.
func retryArg(retry *time.Duration) string {
	if retry == nil {
		return ""
	}
	return itoa(ms(*retry))
}
