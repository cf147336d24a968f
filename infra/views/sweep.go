package views

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// Swept reports whether nothing is left of older generations.
func (h Head) Swept() bool { return h.swept == h.Generation }

const sweepPage = 1000 // keys that Redis looks at in one call

// Sweep removes what a reset left: the index of older generations. It looks at every key of this
// Redis, a page at a time, so it is for after a reset only.
func (s *Store) Sweep(ctx context.Context, p eventlog.Partition, generation int64) error {
	prefix := p.View("tasks:")
	for cursor := uint64(0); ; {
		keys, next, err := s.rdb.Scan(ctx, cursor, p.Pattern("view:tasks:"), sweepPage).Result()
		if err != nil {
			return fmt.Errorf("sweep old views of partition %d: %w", p.N, err)
		}
		for _, key := range keys {
			left, _, _ := strings.Cut(strings.TrimPrefix(key, prefix), ":")
			if n, err := strconv.ParseInt(left, 10, 64); err != nil || n >= generation {
				continue // of a reset after ours, or not ours at all
			}
			if err := s.rdb.Unlink(ctx, key).Err(); err != nil {
				return fmt.Errorf("sweep old views of partition %d: %w", p.N, err)
			}
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	// Of a generation that is over, this says nothing.
	return s.rdb.HSet(ctx, p.View("head"), "swept", generation).Err()
}
