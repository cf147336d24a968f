package eventlog_test

import (
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/infra/eventlog"
)

func itself(n int) int { return n }

func TestGatherYieldsAllInOrderAndNoBatchBeyondItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOf(rapid.IntRange(0, 20)).Draw(t, "items")
		n, bytes := rapid.IntRange(1, 10).Draw(t, "n"), rapid.IntRange(1, 40).Draw(t, "bytes")
		var got []int
		for batch := range eventlog.Gather(slices.Values(items), n, bytes, itself) {
			sum := 0
			for _, item := range batch {
				sum += item
			}
			if len(batch) == 0 || len(batch) > n || len(batch) > 1 && sum > bytes {
				t.Fatalf("a batch of %v with at most %d items and %d bytes", batch, n, bytes)
			}
			got = append(got, batch...)
		}
		if !slices.Equal(got, items) {
			t.Fatalf("got %v, want %v", got, items)
		}
	})
}

func TestGatherWaitsForNothingAndTakesWhatCameMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := make(chan int)
		seq := func(yield func(int) bool) {
			for item := range in {
				if !yield(item) {
					return
				}
			}
		}
		next, stop := iter.Pull(eventlog.Gather(seq, 4, 100, itself))
		defer stop()
		expect := func(want ...int) {
			t.Helper()
			if got, _ := next(); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		go func() { in <- 1 }()
		expect(1) // alone, and the sequence goes on
		for item := range 3 {
			in <- item
		}
		synctest.Wait()
		expect(0, 1, 2)
		close(in)
		expect()
	})
}

func TestGatherReadsNoFurtherThanItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var read atomic.Int64
		seq := func(yield func(int) bool) {
			for yield(1) {
				read.Add(1)
			}
		}
		for bound, limit := range map[int64][2]int{5: {5, 100}, 7: {100, 7}} {
			read.Store(0)
			for range eventlog.Gather(seq, limit[0], limit[1], itself) {
				synctest.Wait()
				// A batch is in use, as much waits, and one more was read.
				if n := read.Load(); n < bound || n > 2*bound {
					t.Errorf("it has read %d items with a bound of %d", n, bound)
				}
				break
			}
		}
	})
}
