package lock_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/lock"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "{0}:lock:task:a"

// once takes what is free, and waits for nothing.
var once = lock.Config{TTL: time.Minute, Tries: 1}

// thrice tries again what is taken.
var thrice = lock.Config{TTL: time.Minute, Tries: 3, Delay: time.Millisecond, Jitter: time.Millisecond}

// each runs a test with the client of the workers, on a real Redis and on the embedded one.
func each(t *testing.T, f func(t *testing.T, rdb redis.UniversalClient)) {
	t.Helper()
	t.Parallel()
	testredis.Each(t, func(t *testing.T, url string) {
		f(t, testredis.Connect(t, url).Decide)
	})
}

func take(t *testing.T, l *lock.Locker) *lock.Mutex {
	t.Helper()
	m, err := l.Lock(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func giveBack(t *testing.T, rdb redis.UniversalClient, m *lock.Mutex) {
	t.Helper()
	if err := m.Unlock(t.Context()); err != nil {
		t.Error(err)
	}
	if n := rdb.Exists(t.Context(), key).Val(); n != 0 {
		t.Error("it is still taken")
	}
}

func TestOneOfFiftyHoldsTheMutex(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := lock.New(rdb, once)
		var held, refused atomic.Int64
		var racing sync.WaitGroup
		begin := make(chan struct{})
		for range 50 {
			racing.Go(func() {
				<-begin
				switch _, err := l.Lock(t.Context(), key); {
				case err == nil:
					held.Add(1)
				case errors.Is(err, lock.ErrTaken):
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		close(begin)
		racing.Wait()
		if held.Load() != 1 || refused.Load() != 49 {
			t.Errorf("%d hold it and %d were refused", held.Load(), refused.Load())
		}
	})
}

func TestHoldersFollowEachOther(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := lock.New(rdb, lock.Config{TTL: time.Minute, Tries: 10_000, Delay: time.Millisecond, Jitter: time.Millisecond})
		var inside, had atomic.Int64
		var racing sync.WaitGroup
		for range 20 {
			racing.Go(func() {
				m, err := l.Lock(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d hold it at once", n)
				}
				had.Add(1)
				inside.Add(-1)
				if err := m.Unlock(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		racing.Wait()
		if had.Load() != 20 {
			t.Errorf("%d of 20 had it", had.Load())
		}
	})
}

func TestATakenMutexIsTriedSoManyTimes(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		take(t, lock.New(rdb, once))
		const delay = 40 * time.Millisecond
		l := lock.New(rdb, lock.Config{TTL: time.Minute, Tries: 3, Delay: delay, Jitter: delay / 4})
		began := time.Now()
		_, err := l.Lock(t.Context(), key)
		if !errors.Is(err, lock.ErrTaken) {
			t.Errorf("got %v, want ErrTaken", err)
		}
		if took := time.Since(began); took < 2*(delay-delay/4) {
			t.Errorf("3 tries took %s: there are 2 pauses of at least %s", took, delay-delay/4)
		}
	})
}

func TestAMutexThatBecomesFreeIsTakenByALaterTry(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		first := take(t, lock.New(rdb, once))
		type held struct {
			m   *lock.Mutex
			err error
		}
		got := make(chan held)
		l := lock.New(rdb, lock.Config{TTL: time.Minute, Tries: 10_000, Delay: time.Millisecond})
		go func() {
			m, err := l.Lock(t.Context(), key)
			got <- held{m, err}
		}()
		if err := first.Unlock(t.Context()); err != nil {
			t.Error(err)
		}
		if second := <-got; second.err != nil || second.m.Token == first.Token {
			t.Errorf("got %+v", second)
		}
	})
}

func TestTheTokenIsTheValueOfTheKey(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		m := take(t, lock.New(rdb, once))
		value, err := rdb.Get(t.Context(), key).Result()
		if err != nil || value != m.Token || value == "" {
			t.Errorf("the key holds %q, %v, and the token is %q", value, err, m.Token)
		}
		if ttl := rdb.PTTL(t.Context(), key).Val(); ttl <= 50*time.Second || ttl > once.TTL {
			t.Errorf("it lives %s, want a minute", ttl)
		}
	})
}

func TestUnlockFreesOnlyWhatIsOnesOwn(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := lock.New(rdb, once)
		mine := take(t, l)
		if err := rdb.Del(t.Context(), key).Err(); err != nil { // it expired
			t.Fatal(err)
		}
		if err := mine.Unlock(t.Context()); err != nil {
			t.Errorf("unlock of one that is gone: %v", err)
		}
		theirs := take(t, l)
		if err := mine.Unlock(t.Context()); err != nil {
			t.Errorf("unlock of one that somebody else has: %v", err)
		}
		if value := rdb.Get(t.Context(), key).Val(); value != theirs.Token {
			t.Errorf("the key holds %q, want %q of who took it since", value, theirs.Token)
		}
		for range 2 { // twice is once
			giveBack(t, rdb, theirs)
		}
	})
}

func TestAMutexIsExtendedByItsHolderOnly(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		mine := take(t, lock.New(rdb, once))
		if err := rdb.PExpire(t.Context(), key, time.Second).Err(); err != nil {
			t.Fatal(err)
		}
		if err := mine.Extend(t.Context()); err != nil {
			t.Error(err)
		}
		if ttl := rdb.PTTL(t.Context(), key).Val(); ttl <= 50*time.Second || ttl > once.TTL {
			t.Errorf("it lives %s, want a minute", ttl)
		}
		if err := rdb.Del(t.Context(), key).Err(); err != nil { // it expired
			t.Fatal(err)
		}
		if err := mine.Extend(t.Context()); !errors.Is(err, lock.ErrTaken) {
			t.Errorf("extending one that is gone: %v, want ErrTaken", err)
		}
		theirs := take(t, lock.New(rdb, once))
		if err := mine.Extend(t.Context()); !errors.Is(err, lock.ErrTaken) {
			t.Errorf("extending one that somebody else has: %v, want ErrTaken", err)
		}
		if value := rdb.Get(t.Context(), key).Val(); value != theirs.Token {
			t.Errorf("the key holds %q, want %q", value, theirs.Token)
		}
	})
}

func TestAMutexExpires(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		began := time.Now()
		take(t, lock.New(rdb, lock.Config{TTL: 300 * time.Millisecond, Tries: 1}))
		take(t, lock.New(rdb, lock.Config{TTL: time.Minute, Tries: 10_000, Delay: 5 * time.Millisecond}))
		if took := time.Since(began); took < 250*time.Millisecond || took > 10*time.Second {
			t.Errorf("it was free after %s, want 300ms", took)
		}
	})
}

// deaf answers nothing.
type deaf struct{}

func (deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (deaf) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error {
		cmd.SetErr(io.EOF)
		return io.EOF
	}
}

func (deaf) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestARedisThatIsAwayIsNoTakenMutex(t *testing.T) {
	t.Parallel()
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	rdb.AddHook(deaf{})
	defer func() { _ = rdb.Close() }() // it never had a connection
	if _, err := lock.New(rdb, once).Lock(t.Context(), key); err == nil || errors.Is(err, lock.ErrTaken) || !eventlog.Unavailable(err) {
		t.Errorf("got %v, want that it is unknown", err)
	}
	srv := testredis.Start(t)
	conn := testredis.Connect(t, srv.URL())
	mine := take(t, lock.New(conn.Decide, once))
	srv.Kill()
	if err := mine.Extend(t.Context()); err == nil || errors.Is(err, lock.ErrTaken) || !eventlog.Unavailable(err) {
		t.Errorf("extending: got %v, want that it is unknown", err)
	}
}

func TestTheContextEndsTheTries(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		take(t, lock.New(rdb, once))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := lock.New(rdb, lock.Config{TTL: time.Minute, Tries: 2, Delay: time.Hour}).Lock(ctx, key)
		if err == nil {
			t.Error("it was taken twice")
		}
	})
}

func TestAMutexIsTakenInTheStepThatItIsTakenFor(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := lock.New(rdb, thrice)
		var values []string
		m, err := l.LockWith(t.Context(), key, func(value string) (bool, error) {
			values = append(values, value)
			return len(values) == 3, rdb.Set(t.Context(), key, value, time.Minute).Err()
		})
		if err != nil || len(values) != 3 || values[0] != m.Token || values[1] != m.Token || values[2] != m.Token {
			t.Fatalf("got %+v, %v: it was tried with %q", m, err, values)
		}
		giveBack(t, rdb, m)
	})
}

func TestAStepThatNeverGetsTheMutexIsToldThatItIsTaken(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := lock.New(rdb, thrice)
		tries := 0
		m, err := l.LockWith(t.Context(), key, func(string) (bool, error) {
			tries++
			return false, nil
		})
		if m != nil || !errors.Is(err, lock.ErrTaken) || tries != 3 {
			t.Errorf("got %+v, %v after %d tries", m, err, tries)
		}
	})
}

func TestAStepThatFailsEndsTheTriesAndLeavesTheMutexToItsCaller(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		l := lock.New(rdb, thrice)
		tries, broken := 0, errors.New("broken")
		m, err := l.LockWith(t.Context(), key, func(value string) (bool, error) {
			tries++
			return false, errors.Join(broken, rdb.Set(t.Context(), key, value, time.Minute).Err())
		})
		if !errors.Is(err, broken) || tries != 1 {
			t.Fatalf("got %v after %d tries", err, tries)
		}
		giveBack(t, rdb, m)
	})
}

func TestAMutexThatIsOverBeforeItsStepIsNotSaidToBeTaken(t *testing.T) {
	each(t, func(t *testing.T, rdb redis.UniversalClient) {
		const ttl = 20 * time.Millisecond
		l := lock.New(rdb, lock.Config{TTL: ttl, Tries: 1})
		m, err := l.LockWith(t.Context(), key, func(value string) (bool, error) {
			err := rdb.Set(t.Context(), key, value, ttl).Err()
			<-time.After(2 * ttl) // as a process that stood still
			return true, err
		})
		if m != nil || err == nil || errors.Is(err, lock.ErrTaken) {
			t.Errorf("got %+v, %v", m, err)
		}
	})
}
