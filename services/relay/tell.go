package relay

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// tellEvery is how often a relay says what it did. Tests make it short.
var tellEvery = time.Minute

// tally counts what a relay did since it last said so. It is for people; programs have the metrics.
type tally struct{ delivered, failures, poisoned, undecodable atomic.Int64 }

// tell says what is delivered, and from time to time and at the end how much was. While nothing happens it says nothing.
func (r *Relay) tell(ctx context.Context) {
	types := r.cfg.Types
	if len(types) == 0 {
		types = []string{"those that end a task"}
	}
	r.slog.LogAttrs(ctx, slog.LevelInfo, "relay delivers events", slog.String("group", r.cfg.Group),
		slog.Int("partitions", len(r.log.Partitions())), slog.Any("types", types))
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		n := [...]int64{r.tally.delivered.Swap(0), r.tally.failures.Swap(0), r.tally.poisoned.Swap(0), r.tally.undecodable.Swap(0)}
		if n != [4]int64{} {
			r.slog.LogAttrs(ctx, slog.LevelInfo, "relay has delivered events", slog.Int64("delivered", n[0]),
				slog.Int64("failures", n[1]), slog.Int64("poisoned", n[2]), slog.Int64("undecodable", n[3]))
		}
	}
}
