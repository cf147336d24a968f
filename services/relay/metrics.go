package relay

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what the relay does.
type metrics struct {
	delivered                       *prometheus.CounterVec
	failures, poisoned, undecodable prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "tasklog", Subsystem: "relay", Name: name, Help: help}
	}
	m := metrics{
		delivered:   prometheus.NewCounterVec(counter("delivered_total", "Events delivered, by type."), []string{"type"}),
		failures:    prometheus.NewCounter(counter("failures_total", "Tries at a delivery that failed.")),
		poisoned:    prometheus.NewCounter(counter("poisoned_total", "Events put aside after the last try.")),
		undecodable: prometheus.NewCounter(counter("undecodable_total", "Entries of the log that are no events, and skipped.")),
	}
	if reg != nil {
		reg.MustRegister(m.delivered, m.failures, m.poisoned, m.undecodable)
	}
	return m
}
