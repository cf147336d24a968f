package views

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// Swept reports whether nothing is left of other generations.
func (h Head) Swept() bool { return h.swept == h.Generation }

const sweepPage = 1000 // keys that Redis looks at in one call

//go:embed sweep.lua
var sweepSource string

var sweepScript = redis.NewScript(sweepSource)

// Sweep removes what a reset, a swap or a shadow that nobody makes any more left: views and indexes that are not
// stored. It looks at every key of this Redis, a page at a time. Once nothing is left, it says so in head, if
// that is of this generation.
func (s *Store) Sweep(ctx context.Context, p eventlog.Partition, generation int64) error {
	clean := true
	for cursor := uint64(0); ; {
		keys, next, err := s.log.Scan(ctx, p, "view:", cursor, sweepPage)
		if err != nil {
			return fmt.Errorf("sweep old views of partition %d: %w", p.N, err)
		}
		for _, key := range keys {
			n, ok := generationOf(strings.TrimPrefix(key, p.View("")))
			if !ok {
				continue
			}
			answer, err := sweepScript.Run(ctx, s.rdb, []string{p.View("head"), shadowKey(p, n), key}, n).Text()
			if err != nil {
				return fmt.Errorf("sweep old views of partition %d: %w", p.N, err)
			}
			clean = clean && answer == "ok"
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	if !clean {
		return nil // the next one looks again
	}
	// Of a generation that is over, this says nothing.
	return s.rdb.HSet(ctx, p.View("head"), "swept", generation).Err()
}

// generationOf reads the generation in the name of a key of the index, "tasks:<generation>:…", or of a hash of a
// shadow, "shadow:<generation>:…".
func generationOf(name string) (int64, bool) {
	kind, rest, _ := strings.Cut(name, ":")
	left, _, of := strings.Cut(rest, ":")
	n, err := strconv.ParseInt(left, 10, 64)
	return n, of && err == nil && (kind == "tasks" || kind == "shadow")
}
