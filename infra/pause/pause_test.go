package pause_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tasklog/tasklog/infra/pause"
)

func TestRetryWaitsLongerEachTimeAndASecondAtTheMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n, want := range map[int]time.Duration{
			0: 20 * time.Millisecond, 1: 40 * time.Millisecond, 5: 640 * time.Millisecond, 6: time.Second, 1000: time.Second,
		} {
			began := time.Now()
			pause.Retry(t.Context(), n)
			if got := time.Since(began); got != want {
				t.Errorf("after %d failures: %s, want %s", n, got, want)
			}
		}
	})
}

func TestForEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		pause.For(ctx, time.Hour)
		pause.For(t.Context(), -time.Hour)
		if got := time.Since(began); got != time.Second {
			t.Errorf("it took %s, want that of the context", got)
		}
	})
}
