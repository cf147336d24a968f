package verifier

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/audit"
)

// Config says what is proved. The zero Config proves the whole log.
type Config struct {
	// Settled says that every task must be final by now.
	Settled bool
	// Views says that only the views are held against the log.
	Views bool
	// Undecodable allows entries that are no events: they are counted only.
	Undecodable bool
	// Partition is the one that is looked at, where One is set.
	Partition int
	One       bool
	// Limit is how many violations, and how many differences, are told; all are counted. Zero means 20.
	Limit int
	// MaxPayload is how many bytes of JSON a payload may have. Zero means 1 MiB.
	MaxPayload int
	// Patience is for how long what looks different is looked at again, before it counts. Zero means 3 s.
	Patience time.Duration
	// Progress, which may be nil, is told what is done, how much of it, and how much there is.
	Progress func(stage string, done, total int64)
}

// Run proves a log. An error says that it could not be read to its end: then the report tells nothing.
// Whatever was found wrong is in the report.
func Run(ctx context.Context, log *eventlog.Log, cfg Config) (Report, error) {
	began := time.Now()
	cfg.Limit = cmp.Or(cfg.Limit, 20)
	cfg.Patience = cmp.Or(cfg.Patience, 3*time.Second)
	if cfg.Progress == nil {
		cfg.Progress = func(string, int64, int64) {}
	}
	parts := log.Partitions()
	if cfg.One {
		if cfg.Partition < 0 || cfg.Partition >= len(parts) {
			why := fmt.Sprintf("%d is not between 0 and %d", cfg.Partition, len(parts)-1)
			return Report{}, &events.FieldError{Field: "partition", Reason: why}
		}
		parts = parts[cfg.Partition : cfg.Partition+1]
	}
	r := Report{Report: audit.Report{Violations: []audit.Violation{}}, Differences: []Difference{}, Notes: []string{}, Partitions: len(parts)}
	for _, p := range parts {
		v := newPartition(log, p, cfg)
		if err := v.run(ctx); err != nil {
			return Report{}, fmt.Errorf("verify partition %d: %w", p.N, err)
		}
		r.add(v, cfg)
	}
	r.NoExample = r.Report.NoExample()
	r.OK = r.ViolationCount == 0 && r.DifferenceCount == 0
	r.Took = time.Since(began)
	r.TookMs = r.Took.Milliseconds()
	return r, nil
}

// add adds what was found in a partition.
func (r *Report) add(v *partition, cfg Config) {
	r.Merge(v.audit.Report(cfg.Settled), cfg.Limit)
	for _, d := range v.differences {
		if r.DifferenceCount++; len(r.Differences) < cfg.Limit {
			r.Differences = append(r.Differences, d)
		}
	}
	r.DifferenceCount += v.more
	r.Compared.Rows += v.compared.Rows
	r.Compared.Ledgers += v.compared.Ledgers
	r.Compared.Views += v.compared.Views
	r.Compared.Index += v.compared.Index
	for _, note := range v.notes {
		if r.Partitions > 1 {
			note = fmt.Sprintf("partition %d: %s", v.part.N, note)
		}
		r.Notes = append(r.Notes, note)
	}
}
