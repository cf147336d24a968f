// Package archiver archives the log, and lets leave Redis what is in the archive and nobody needs there:
// once, or again and again as a service.
//
// # Guarantees
//
// Those of infra/archive. Any number of archivers may run on one archive: they do their work twice and no harm.
//
// # Failure
//
// Redis or the archive away: the step is tried again at the next turn. A partition whose archive is damaged,
// or whose stream does not go on where the archive ends, is told at every turn, and neither archived nor
// trimmed until somebody has seen to it; the others go on.
package archiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// Config says how an archiver works. The zero Config is a good one.
type Config struct {
	// Every is how long after a turn the next one begins. Zero means 5 minutes; under a second is an error.
	Every time.Duration `env:"TASKLOG_ARCHIVE_EVERY" usage:"how long after a turn of the archiver the next one begins"`
	// Segment says how segments are cut.
	Segment archive.Config
	// Retention says what leaves Redis. The zero Retention lets all stay.
	Retention archive.Retention
}

// DefaultConfig returns what the zero Config means.
func DefaultConfig() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Every == 0 {
		c.Every = 5 * time.Minute
	}
	return c
}

// Part is what was done for one partition.
type Part struct {
	Partition int              `json:"partition"`
	Written   archive.Written  `json:"written"`
	Trimmed   *archive.Trimmed `json:"trimmed,omitempty"` // nil when nothing was to leave Redis
	Error     string           `json:"error,omitempty"`
}

// Once takes one turn: it archives every partition, and trims those that it could archive. The error is
// that of all partitions in which something went wrong; the parts tell what was done all the same.
func Once(ctx context.Context, log *eventlog.Log, a *archive.Archive, cfg Config) ([]Part, error) {
	var parts []Part
	var errs []error
	for _, p := range log.Partitions() {
		part := Part{Partition: p.N}
		var err error
		part.Written, err = a.Write(ctx, log, p, cfg.Segment)
		if err == nil && cfg.Retention != (archive.Retention{}) {
			var trimmed archive.Trimmed
			trimmed, err = a.Trim(ctx, log, p, cfg.Retention)
			part.Trimmed = &trimmed
		}
		if err != nil {
			part.Error = err.Error()
			errs = append(errs, fmt.Errorf("archive partition %d: %w", p.N, err))
		}
		parts = append(parts, part)
	}
	return parts, errors.Join(errs...)
}

// Archiver takes turns.
type Archiver struct {
	log     *eventlog.Log
	archive *archive.Archive
	cfg     Config
	slog    *slog.Logger
	metrics metrics
}

// New returns an Archiver. reg may be nil.
func New(log *eventlog.Log, a *archive.Archive, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Archiver, error) {
	cfg = cfg.withDefaults()
	if cfg.Every < time.Second {
		return nil, &events.FieldError{Field: "archive every", Reason: fmt.Sprintf("%s is under a second", cfg.Every)}
	}
	if err := cfg.Retention.Validate(); err != nil {
		return nil, err
	}
	return &Archiver{log, a, cfg, logger, newMetrics(reg)}, nil
}

// Run takes turns until ctx ends. It returns nil.
func (a *Archiver) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		a.turn(ctx)
		pause.For(ctx, a.cfg.Every)
	}
	return nil
}

// turn takes one turn and tells about it.
func (a *Archiver) turn(ctx context.Context) {
	parts, err := Once(ctx, a.log, a.archive, a.cfg)
	for _, p := range parts {
		a.metrics.count(p)
		if p.Written.Segments > 0 {
			a.slog.LogAttrs(ctx, slog.LevelInfo, "archived", slog.Int("partition", p.Partition), slog.Int("segments", p.Written.Segments),
				slog.Int64("entries", p.Written.Entries), slog.Int64("bytes", p.Written.Compressed+p.Written.Tables))
		}
		if t := p.Trimmed; t != nil && t.Entries > 0 {
			a.slog.LogAttrs(ctx, slog.LevelInfo, "trimmed", slog.Int("partition", p.Partition), slog.Int64("entries", t.Entries), slog.String("upto", t.Upto.String()))
		}
		if t := p.Trimmed; t != nil && t.Held != "" {
			a.slog.LogAttrs(ctx, slog.LevelInfo, "entries stay in redis", slog.Int("partition", p.Partition), slog.String("neededBy", t.Held), slog.String("after", t.HeldAt.String()))
		}
	}
	if ctx.Err() != nil {
		return // what a stop left undone is no failure, and the next start does it
	}
	if err != nil {
		a.metrics.failures.Inc()
		a.slog.LogAttrs(ctx, slog.LevelError, "the log was not archived", slog.Any("error", err))
		return
	}
	a.metrics.last.SetToCurrentTime()
}
