package eventlog

import (
	"iter"
	"sync"
)

// Gather reads a sequence ahead, in a goroutine of its own, and yields in batches what has come while the
// last batch was used: so nothing waits for a batch to fill, and the more comes the larger they are. Of n
// items and bytes, as size tells them, no more are in a batch than one or the other allows, nor wait for the
// next one; but a single item may be larger.
//
// Who leaves the loop waits until the sequence has given way: one that blocks must know when to end.
func Gather[T any](seq iter.Seq[T], n, bytes int, size func(T) int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		var (
			mu         sync.Mutex
			changed    = sync.NewCond(&mu)
			waiting    []T
			held       int // bytes of what is waiting
			over, left bool
		)
		reading := make(chan struct{})
		go func() {
			defer close(reading)
			for item := range seq {
				more := size(item)
				mu.Lock()
				for !left && len(waiting) > 0 && (len(waiting) == n || held+more > bytes) {
					changed.Wait()
				}
				waiting, held = append(waiting, item), held+more
				enough := left
				mu.Unlock()
				changed.Signal()
				if enough {
					break
				}
			}
			mu.Lock()
			over = true
			mu.Unlock()
			changed.Signal()
		}()
		defer func() {
			mu.Lock()
			left = true
			mu.Unlock()
			changed.Signal()
			<-reading
		}()
		for {
			mu.Lock()
			for len(waiting) == 0 && !over {
				changed.Wait()
			}
			batch := waiting
			waiting, held = nil, 0
			mu.Unlock()
			changed.Signal()
			if len(batch) == 0 || !yield(batch) {
				return
			}
		}
	}
}
