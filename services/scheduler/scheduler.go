// Package scheduler decides when a task may run: it turns delays and priorities into TaskDue.
//
// # The processes
//
//	promoter    moves what is due from delayed to waiting:<queue>
//	dispatcher  hands the best of waiting:<queue> to due:<queue>, as fast as workers take it
//	sweeper     ends attempts whose worker stopped extending its lease
//	reconciler  holds the rows against the ledgers and puts back what was lost
//	janitor     lets the oldest rows go of queues that have too many of tasks that are over
//
// # Guarantees
//
// No task is due early. Any number of schedulers may run: every step is one atomic script that
// checks what it was told. An attempt ends once. At idle nothing is polled: a step happens at the
// next event of the log that can mean something to do, or at the next due time.
//
// # Sharing
//
// Schedulers share the partitions of a log: a lease picks one for each, and each has about as many. It saves work
// and nothing depends on it. Only the sweeper runs everywhere: when a partition changes hands, it must not look as if
// nobody had been able to extend a lease. A log with one partition cannot be shared, and every scheduler works on
// it: so no task waits when one of them is killed.
//
// # Time
//
// Redis' clock alone. If it goes back, nothing becomes due until it has caught up.
//
// # Failure
//
// Redis away: a step is tried again, none is skipped, for each starts from what Redis holds and
// not from what happened before. This process killed: another one goes on, with several partitions
// some 4 s later. All of them away for longer than two sweeps, or Redis: every running attempt first gets one
// more lease.
package scheduler

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/lock"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/share"
)

// Config says how the scheduler judges workers.
type Config struct {
	// LeaseTTL is how long an attempt lives without an extension before it counts as abandoned.
	// It must be what the workers use. Zero means 30 s; under 1 s is an error.
	LeaseTTL time.Duration `env:"TASKLOG_LEASE_TTL" usage:"how long an attempt lives without a heartbeat"`
	// ReconcileEvery is the time between two pages of the reconciler. Zero means 3 s.
	ReconcileEvery time.Duration `env:"TASKLOG_RECONCILE_EVERY" usage:"time between two pages of the reconciler"`
	// RetentionCount is how many rows of tasks that are over stay, of each queue: the newest. They may be more by
	// those that ended within eventlog.MinRetention, and because each partition keeps its share, rounded up. Zero
	// means any number, until their eventlog.Config.Retention is over; less is an error.
	RetentionCount int `env:"TASKLOG_RETENTION_COUNT" zero:"0" usage:"how many tasks of a queue that are over are kept, the newest; 0: any number"`
}

// DefaultConfig returns what the zero Config means.
func DefaultConfig() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 30 * time.Second
	}
	if c.ReconcileEvery == 0 {
		c.ReconcileEvery = 3 * time.Second
	}
	return c
}

// Scheduler runs the processes for every partition.
type Scheduler struct {
	log     *eventlog.Log
	locks   *lock.Locker // of partitions
	cfg     Config
	young   time.Duration // for which no row goes because there are too many
	rest    time.Duration // of the janitor
	slog    *slog.Logger
	metrics metrics
}

// New returns a scheduler. reg may be nil: then nothing is measured.
func New(log *eventlog.Log, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Scheduler, error) {
	cfg = cfg.withDefaults()
	if cfg.LeaseTTL < time.Second {
		return nil, fmt.Errorf("lease TTL %s: a pause of Redis would re-run what is running; want 1s or more", cfg.LeaseTTL)
	}
	if cfg.RetentionCount < 0 {
		return nil, &events.FieldError{Field: "retentionCount", Reason: fmt.Sprintf("%d is less than 0, which means any number", cfg.RetentionCount)}
	}
	locks := lock.New(log.Conn().Lease, lock.Config{TTL: leadTTL, Wait: leadTTL * 9 / 10, Tries: 1})
	return &Scheduler{
		log: log, locks: locks, cfg: cfg, young: eventlog.MinRetention, rest: janitorRest, slog: logger, metrics: newMetrics(reg),
	}, nil
}

// Run blocks until ctx ends and everything it started is over, soon after; with a Redis that cannot be
// asked to end a wait, some eventlog.MaxBlock later. It returns nil.
func (s *Scheduler) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	parts := s.log.Partitions()
	for _, p := range parts {
		wg.Go(func() { s.sweep(ctx, p) })
	}
	if len(parts) == 1 {
		s.work(ctx, parts[0])
		return nil
	}
	share.New(s.log, service, s.slog).Run(ctx, s.lead)
	return nil
}

// work makes the tasks of a partition due, mends its ledgers and lets rows go, until ctx ends.
func (s *Scheduler) work(ctx context.Context, p eventlog.Partition) {
	s.metrics.leads.WithLabelValues(strconv.Itoa(p.N)).Set(1)
	defer s.metrics.leads.WithLabelValues(strconv.Itoa(p.N)).Set(0)
	var wg sync.WaitGroup
	defer wg.Wait()
	d := newDispatcher(s, p)
	for _, process := range []func(context.Context){d.wake, d.run, func(ctx context.Context) { s.reconcile(ctx, p) }, newJanitor(s, p).run} {
		wg.Go(func() { process(ctx) })
	}
}

// failed reports a step that will be tried again, and waits before that: longer each time in a
// row, a second at the most.
func (s *Scheduler) failed(ctx context.Context, process string, p eventlog.Partition, inARow int, err error) {
	if ctx.Err() != nil {
		return
	}
	s.metrics.failures.WithLabelValues(process).Inc()
	s.slog.LogAttrs(ctx, slog.LevelWarn, "step failed and is tried again",
		slog.String("process", process), slog.Int("partition", p.N), slog.Any("error", err))
	pause.Retry(ctx, inARow)
}

// metrics counts what the scheduler does.
type metrics struct {
	promoted, dispatched, abandoned, spared, forgotten, retired prometheus.Counter
	mended, failures                                            *prometheus.CounterVec
	leads                                                       *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "tasklog", Subsystem: "scheduler", Name: name, Help: help}
	}
	m := metrics{
		promoted:   prometheus.NewCounter(counter("promoted_total", "Delayed tasks whose due time came.")),
		dispatched: prometheus.NewCounter(counter("dispatched_total", "TaskDue events appended.")),
		abandoned:  prometheus.NewCounter(counter("abandoned_total", "Attempts ended because their lease ended.")),
		spared:     prometheus.NewCounter(counter("spared_total", "Leases given one more term because nobody had swept.")),
		forgotten:  prometheus.NewCounter(counter("forgotten_total", "Times that Redis was found to have lost the log.")),
		retired:    prometheus.NewCounter(counter("retired_total", "Rows of tasks that were over and that went because their queue had too many.")),
		mended:     prometheus.NewCounterVec(counter("mended_total", "Ledger entries put back from rows."), []string{"ledger"}),
		failures:   prometheus.NewCounterVec(counter("step_failures_total", "Steps that failed and were tried again."), []string{"process"}),
		leads: prometheus.NewGaugeVec(prometheus.GaugeOpts(counter("leads", "1 while this process makes the tasks of the partition due.")),
			[]string{"partition"}),
	}
	if reg != nil {
		reg.MustRegister(m.promoted, m.dispatched, m.abandoned, m.spared, m.forgotten, m.retired, m.mended, m.failures, m.leads)
	}
	return m
}
