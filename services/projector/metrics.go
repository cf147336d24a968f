package projector

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the projector does.
type metrics struct {
	events, skipped, missed, saves, moved, rebuilds, failures prometheus.Counter
	newest, leads, snapshotAt, snapshotBytes                  *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tasklog", Subsystem: "projector", Name: name, Help: help})
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tasklog", Subsystem: "projector", Name: name, Help: help}, []string{"partition"})
	}
	m := metrics{
		events:   counter("events_total", "Events folded."),
		skipped:  counter("skipped_total", "Entries of the log that are no events, and were skipped."),
		missed:   counter("missed_total", "Entries that were removed from the log before they were read."),
		saves:    counter("saves_total", "Times that views were stored."),
		moved:    counter("moved_total", "Times that another projector had moved the views."),
		rebuilds: counter("rebuilds_total", "Times that views were thrown away to be made again."),
		failures: counter("step_failures_total", "Steps that failed and were tried again."),
		newest:   gauge("newest_event_seconds", "Time of the newest event in the views, since the Unix epoch."),
		leads:    gauge("leads", "1 while this process keeps the views of the partition."),

		snapshotAt:    gauge("snapshot_seconds", "Time of the last entry in the newest snapshot that this process made, since the Unix epoch."),
		snapshotBytes: gauge("snapshot_bytes", "Size of that snapshot in Redis."),
	}
	if reg != nil {
		reg.MustRegister(m.events, m.skipped, m.missed, m.saves, m.moved, m.rebuilds, m.failures, m.newest, m.leads, m.snapshotAt, m.snapshotBytes)
	}
	return m
}

func label(partition int) string { return strconv.Itoa(partition) }
