// Package lock takes a mutex, such as that of a task: redsync on one Redis, over a client that the caller chooses.
//
// # Guarantees
//
// The mutex of a task keeps two workers from starting one attempt at once, that of a partition two schedulers from
// doing the same work, and nothing more. What fences is the attempt number in the task's row, and what every step
// of a scheduler checks: a mutex that expired, or was taken over, can do no harm. So one Redis is enough, and no
// quorum is asked for.
//
// # Failure
//
// A reply that is lost can leave a mutex that nobody holds: it ends with its TTL.
package lock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-redsync/redsync/v4"
	pool "github.com/go-redsync/redsync/v4/redis"
	"github.com/go-redsync/redsync/v4/redis/goredis/v9"
	"github.com/redis/go-redis/v9"
)

// ErrTaken reports that somebody else holds the mutex. Nothing was changed; it may be free later.
var ErrTaken = errors.New("the mutex is taken")

// Config says how a mutex is taken. All fields but Wait must be set.
type Config struct {
	TTL    time.Duration // how long it lives, unless it is extended
	Wait   time.Duration // for Redis, in each try; shorter than TTL. Zero means a twentieth of it
	Tries  int           // how often it is tried
	Delay  time.Duration // between two tries
	Jitter time.Duration // Delay varies by so much, up and down
}

// Locker takes mutexes. Its methods may be called from many goroutines.
type Locker struct {
	pool pool.Pool
	opts []redsync.Option
}

// New returns a Locker on one Redis.
func New(rdb redis.UniversalClient, cfg Config) *Locker {
	if cfg.Wait == 0 {
		cfg.Wait = cfg.TTL / 20
	}
	return &Locker{
		pool: goredis.NewPool(rdb),
		opts: []redsync.Option{
			redsync.WithExpiry(cfg.TTL),
			redsync.WithTimeoutFactor(cfg.Wait.Seconds() / cfg.TTL.Seconds()),
			redsync.WithTries(cfg.Tries),
			redsync.WithRetryDelayFunc(func(int) time.Duration {
				return cfg.Delay - cfg.Jitter + time.Duration(rand.Int64N(int64(2*cfg.Jitter)+1))
			}),
		},
	}
}

// Mutex is one that is held. That of a task is not extended here: eventlog.Extend extends it together with the
// lease of the attempt, and a finish releases it in the same step as it records.
type Mutex struct {
	// Token is the value of the key: with the attempt number it is what a worker is known by.
	Token string
	m     *redsync.Mutex
}

// Lock takes the mutex under a key. It returns ErrTaken when somebody else holds it after all tries.
// Any other error means unknown: the mutex may be held, by nobody, until its TTL is over. For the
// same reason ctx should not end while a try is under way.
func (l *Locker) Lock(ctx context.Context, key string) (*Mutex, error) {
	return l.lock(ctx, key, l.pool)
}

// LockWith takes the mutex under a key as Lock does, but set sets the key: in one step with what the mutex is
// taken for. It is called for each try, with the same value, and reports whether the key has that value now; it should
// not take longer than the mutex lives. What it returns as an error ends the tries: the mutex is returned beside it,
// because it may be held. It is an error, and not ErrTaken, when set had the mutex and that is over already.
func (l *Locker) LockWith(ctx context.Context, key string, set func(value string) (bool, error)) (*Mutex, error) {
	s := &setter{Pool: l.pool, set: set}
	m, err := l.lock(ctx, key, s)
	switch {
	case s.err != nil:
		return m, s.err
	case err != nil && s.held:
		return nil, fmt.Errorf("lock %s: it took longer than the mutex lives", key)
	}
	return m, err
}

func (l *Locker) lock(ctx context.Context, key string, p pool.Pool) (*Mutex, error) {
	m := redsync.New(p).NewMutex(key, l.opts...)
	err := m.LockContext(ctx)
	if err == nil {
		return &Mutex{Token: m.Value(), m: m}, nil
	}
	if _, taken := errors.AsType[*redsync.ErrTaken](err); taken || errors.Is(err, redsync.ErrFailed) {
		return nil, fmt.Errorf("lock %s: %w", key, ErrTaken)
	}
	return nil, fmt.Errorf("lock %s: %w", key, err)
}

// setter is a pool whose connections leave it to a function to set a key.
type setter struct {
	pool.Pool
	set  func(value string) (bool, error)
	held bool  // what set said last
	err  error // and its error
}

// Get implements pool.Pool.
func (s *setter) Get(ctx context.Context) (pool.Conn, error) {
	c, err := s.Pool.Get(ctx)
	return setting{c, s}, err
}

type setting struct {
	pool.Conn
	by *setter
}

// SetNX implements pool.Conn. After an error there is nothing to try again: it ends like a success.
func (s setting) SetNX(_, value string, _ time.Duration) (bool, error) {
	s.by.held, s.by.err = s.by.set(value)
	return s.by.held || s.by.err != nil, nil
}

// Extend lets the mutex live for its TTL from now. It returns ErrTaken when it is not ours any more. Any other error
// means unknown, and Extend may be called again.
func (m *Mutex) Extend(ctx context.Context) error {
	_, err := m.m.ExtendContext(ctx)
	if _, taken := errors.AsType[*redsync.ErrTaken](err); taken || errors.Is(err, redsync.ErrExtendFailed) {
		return fmt.Errorf("extend %s: %w", m.m.Name(), ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("extend %s: %w", m.m.Name(), err)
	}
	return nil
}

// Unlock releases the mutex if it is still ours: one that expired, or that somebody else has taken
// since, is left as it is.
func (m *Mutex) Unlock(ctx context.Context) error {
	_, err := m.m.UnlockContext(ctx)
	if _, taken := errors.AsType[*redsync.ErrTaken](err); err == nil || taken || errors.Is(err, redsync.ErrLockAlreadyExpired) {
		return nil
	}
	return fmt.Errorf("unlock %s: %w", m.m.Name(), err)
}
