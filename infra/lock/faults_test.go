package lock_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/lock"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/faults"
)

// A mutex is a plain SET, and two scripts of redsync's that give it back and extend it. What is told
// "held" must hold it; what is told otherwise may leave it behind, but for no longer than its TTL.
func TestWhoIsToldThatItHoldsTheMutexHoldsItWhateverTheNetworkLosesAndRedisAnswers(t *testing.T) {
	server := testredis.Start(t)
	direct := server.Client()
	proxy := faults.Start(t, server.Addr())
	conn := testredis.Connect(t, proxy.URL())
	l := lock.New(conn.Decide, lock.Config{TTL: time.Minute, Tries: 3, Delay: time.Millisecond, Jitter: time.Millisecond})
	held, left := 0, 0
	for _, times := range []int{1, 2, faults.Always} {
		for _, f := range faults.Every(times) {
			if strings.HasPrefix(f.Error, "NOSCRIPT") {
				continue // no answer to SET
			}
			f.Only = faults.Named("set")
			hits := proxy.Set(f)
			m, err := l.Lock(t.Context(), key)
			if proxy.Set(faults.Fault{}) == hits {
				t.Errorf("%s: did not happen", f)
			}
			value := direct.Get(t.Context(), key).Val()
			switch {
			case err == nil && m.Token != value:
				t.Errorf("%s: it was told that it holds the mutex, and %q does", f, value)
			case err == nil:
				held++
			case !errors.Is(err, lock.ErrTaken) && !eventlog.Unavailable(err):
				t.Errorf("%s: %v", f, err)
			case times != faults.Always:
				t.Errorf("%s: a try that Redis answers was left, and it says %v", f, err)
			}
			if value != "" && err != nil {
				left++
			}
			if ttl := direct.PTTL(t.Context(), key).Val(); value != "" && (ttl <= 0 || ttl > time.Minute) {
				t.Errorf("%s: the mutex ends in %s", f, ttl)
			}
			direct.Del(t.Context(), key)
		}
	}
	if held == 0 {
		t.Errorf("nobody ever held it: this proves nothing (%d were left behind)", left)
	}
}

func TestUnlockSaysSoWhenItIsUnknownAndNeverTakesAnothersMutex(t *testing.T) {
	server := testredis.Start(t)
	direct := server.Client()
	proxy := faults.Start(t, server.Addr())
	conn := testredis.Connect(t, proxy.URL())
	l := lock.New(conn.Decide, once)
	for _, f := range faults.Every(1) {
		m := take(t, l)
		hits := proxy.Set(f)
		err := m.Unlock(t.Context())
		if proxy.Set(faults.Fault{}) == hits {
			t.Errorf("%s: did not happen", f)
		}
		if err != nil && !eventlog.Unavailable(err) {
			t.Errorf("%s: %v", f, err)
		}
		if have := direct.Exists(t.Context(), key).Val(); err == nil && have != 0 {
			t.Errorf("%s: it was told that the mutex is free, and it is not", f)
		}
		direct.Set(t.Context(), key, "another", 0)
		if err := m.Unlock(t.Context()); err != nil {
			t.Errorf("%s: asked again: %v", f, err)
		}
		if value := direct.Get(t.Context(), key).Val(); value != "another" {
			t.Errorf("%s: it took the mutex of another, which is %q now", f, value)
		}
		direct.Del(t.Context(), key)
	}
}
