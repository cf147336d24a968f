package views

import (
	"context"
	"errors"
	"time"
)

// Patience is how long to wait for views that lag: a projector at work needs less, and where there is none nobody
// waits long.
const Patience = 200 * time.Millisecond

// look is the time between two looks at how far the views are.
const look = 10 * time.Millisecond

// Await waits, for patience at the most, until the views have all that has happened by now: people look at what they
// have just done. Whether the views do have it, it does not say.
func (s *Store) Await(ctx context.Context, patience time.Duration) error {
	over, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, p := range s.log.Partitions() {
		last, err := s.log.Last(ctx, p)
		if err != nil {
			return err
		}
		for {
			at, err := s.Checkpoint(ctx, p)
			if err != nil && !errors.Is(err, ErrUnusable) { // of such ones who reads them tells
				return err
			}
			if at.Compare(last) >= 0 {
				break
			}
			select {
			case <-time.After(look):
			case <-over.Done():
				return nil
			}
		}
	}
	return nil
}
