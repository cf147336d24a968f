// Package projector keeps the views up with the log: it follows each partition, folds what happened,
// and stores the views with their checkpoint.
//
// # Guarantees
//
// The stored views are those of their checkpoint, always. Any number of projectors may run: they share the
// partitions, and a lease picks one for each; two at once do no harm, for a checkpoint that somebody else moved
// is not moved again. An event is in the views some 100 ms after
// it happened, under any load that one process can fold.
//
// Beside the views it makes snapshots, from which package past answers what was true at an instant. They
// cost the log no further reading, but where a projector takes over.
//
// # Bad entries
//
// An entry that is no event is skipped, counted and logged with its id. Where the log was trimmed
// before it was read, that is logged, counted, and said in the views; the fold goes on with the
// oldest event there is.
//
// # Failure
//
// Redis away: the stored views are loaded again when it is back. This process killed: another one
// takes over when the lease has ended, 5 s later at the most. Views lost or broken: they are made
// again from the log, and grow. Views of another version: they stay as they are until ours, made
// beside them, take their place.
package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/share"
	"github.com/tasklog/tasklog/infra/views"
)

// Config says how often a projector stores and how long it may be silent.
type Config struct {
	// Pace is the shortest time between two saves of a partition: more events then share a save. An
	// event after a pause does not wait. Zero means 50 ms, less than nothing means none.
	Pace time.Duration `env:"TASKLOG_PROJECTOR_PACE" zero:"-1" usage:"shortest time between two saves of the views"`
	// LeaseTTL is how long a partition waits for a projector that is silent before another one takes
	// over. Zero means 5 s; under 3 s is an error, for a blocking read may take 2 s.
	LeaseTTL time.Duration `env:"TASKLOG_PROJECTOR_LEASE_TTL" usage:"how long the views wait for a silent projector"`
	// SnapshotEvery is after how many entries of a partition a snapshot is made, from which questions about the
	// past are answered. Zero means 100 000.
	SnapshotEvery int `env:"TASKLOG_SNAPSHOT_EVERY" usage:"entries of the log between two snapshots of the past"`
	// SnapshotAge is how much time may lie between two snapshots where there are fewer entries. Zero means 1 h.
	SnapshotAge time.Duration `env:"TASKLOG_SNAPSHOT_AGE" usage:"longest time between two snapshots of the past"`

	// SnapshotRatio is how many entries there must be since the last snapshot for each task in the next one: so
	// snapshots stay a few percent of the log, however many tasks are under way. Zero means 10.
	SnapshotRatio int
}

// DefaultConfig returns what the zero Config means.
func DefaultConfig() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Pace == 0 {
		c.Pace = 50 * time.Millisecond
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 5 * time.Second
	}
	if c.SnapshotEvery == 0 {
		c.SnapshotEvery = 100_000
	}
	if c.SnapshotAge == 0 {
		c.SnapshotAge = time.Hour
	}
	if c.SnapshotRatio == 0 {
		c.SnapshotRatio = 10
	}
	return c
}

func (c Config) check() error {
	if c.Pace > 10*time.Second {
		return fmt.Errorf("pace %s: want 10s or less", c.Pace)
	}
	if c.LeaseTTL < eventlog.MaxBlock+time.Second {
		return fmt.Errorf("lease TTL %s: a blocking read takes %s; want %s or more",
			c.LeaseTTL, eventlog.MaxBlock, eventlog.MaxBlock+time.Second)
	}
	if c.SnapshotEvery < 0 || c.SnapshotAge < 0 || c.SnapshotRatio < 0 {
		return fmt.Errorf("snapshots every %d entries or %s, %d for each task: want more than none",
			c.SnapshotEvery, c.SnapshotAge, c.SnapshotRatio)
	}
	return nil
}

// Projector follows every partition of a log.
type Projector struct {
	log     *eventlog.Log
	store   *views.Store
	cfg     Config
	id      string // the owner of leases
	slog    *slog.Logger
	metrics metrics
}

// New returns a projector. reg may be nil: then nothing is measured.
func New(log *eventlog.Log, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Projector, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	return &Projector{
		log: log, store: views.New(log), cfg: cfg, id: uuid.NewString(), slog: logger, metrics: newMetrics(reg),
	}, nil
}

// Run blocks until ctx ends and everything it started is over, at the latest some eventlog.MaxBlock
// later. It returns nil.
func (p *Projector) Run(ctx context.Context) error {
	followers := map[int]*follower{}
	for _, part := range p.log.Partitions() {
		followers[part.N] = &follower{Projector: p, part: part, pages: p.log.Pages(readBatch)}
	}
	share.New(p.log, "projector", p.slog).Run(ctx, func(ctx context.Context, part eventlog.Partition) time.Duration {
		return followers[part.N].turn(ctx)
	})
	return nil
}

// turn leads the partition if it can, until ctx ends. It returns how long to wait before the next try.
func (f *follower) turn(ctx context.Context) time.Duration {
	saved := f.saves
	wait, err := f.lead(ctx)
	if f.saves > saved {
		f.failures = 0
	}
	if err != nil && !errors.Is(err, views.ErrMoved) {
		f.failed(ctx, f.failures, err)
		f.failures++
		return 0
	}
	return wait
}

// failed reports why a partition is not led, and waits before the next try: longer each time in a
// row, a second at the most.
func (f *follower) failed(ctx context.Context, inARow int, err error) {
	if ctx.Err() != nil {
		return
	}
	f.metrics.failures.Inc()
	f.slog.LogAttrs(ctx, slog.LevelWarn, "step failed and is tried again",
		slog.String("process", "projector"), slog.Int("partition", f.part.N), slog.Any("error", err))
	pause.Retry(ctx, inARow)
}
