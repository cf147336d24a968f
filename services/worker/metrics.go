package worker

import (
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/prometheus/client_golang/prometheus"
)

// How an attempt ended, as a label.
const (
	outcomeCompleted = "completed"
	outcomeRetrying  = "retrying"
	outcomeFailed    = "failed"
	outcomeReleased  = "released"
	outcomeCancelled = "cancelled"
	outcomeLost      = "lost"
)

// metrics counts what the worker does.
type metrics struct {
	outcomes map[string]prometheus.Counter // resolved once: they are counted for every task
	runs     prometheus.Histogram
	running  prometheus.Gauge

	unlocked, stale, claimed, undecodable, readFailures, extendFailures prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tasklog", Subsystem: "worker", Name: name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "tasklog", Subsystem: "worker", Name: "attempts_total", Help: "Attempts that ended, by how.",
	}, []string{"outcome"})
	m := metrics{
		outcomes: map[string]prometheus.Counter{},
		runs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tasklog", Subsystem: "worker", Name: "run_seconds", Help: "How long handlers ran.",
			Buckets: []float64{.001, .005, .025, .1, .5, 1, 5, 30, 120, 600},
		}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tasklog", Subsystem: "worker", Name: "running", Help: "Attempts that run now.",
		}),
		unlocked:       counter("unlocked_total", "Entries left for later because the task's mutex was taken."),
		stale:          counter("stale_total", "Entries that were no longer an attempt."),
		claimed:        counter("claimed_total", "Entries taken over from a worker that fell silent."),
		undecodable:    counter("undecodable_total", "Dispatch entries that were no entries of ours, and removed."),
		readFailures:   counter("read_failures_total", "Reads that failed and were tried again."),
		extendFailures: counter("extend_failures_total", "Extensions of leases that failed and were tried again."),
	}
	for _, o := range []string{outcomeCompleted, outcomeRetrying, outcomeFailed, outcomeReleased, outcomeCancelled, outcomeLost} {
		m.outcomes[o] = attempts.WithLabelValues(o)
	}
	if reg != nil {
		reg.MustRegister(attempts, m.runs, m.running)
	}
	return m
}

// ended counts an attempt that was started.
func (m metrics) ended(outcome string, run time.Duration) {
	m.outcomes[outcome].Inc()
	m.runs.Observe(run.Seconds())
}

// routerLog is what of Watermill's router is worth reading: its errors. It writes the other levels
// twice for each task.
type routerLog struct {
	watermill.NopLogger
	errors watermill.LoggerAdapter
}

func newRouterLog(logger *slog.Logger) watermill.LoggerAdapter {
	return routerLog{errors: watermill.NewSlogLogger(logger)}
}

// Error implements watermill.LoggerAdapter.
func (l routerLog) Error(msg string, err error, fields watermill.LogFields) {
	l.errors.Error(msg, err, fields)
}

// With implements watermill.LoggerAdapter.
func (l routerLog) With(watermill.LogFields) watermill.LoggerAdapter { return l }
