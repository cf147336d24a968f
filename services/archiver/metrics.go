package archiver

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what the archiver does.
type metrics struct {
	segments, entries, bytes, trimmed, failures prometheus.Counter
	last                                        prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tasklog", Subsystem: "archiver", Name: name, Help: help})
	}
	m := metrics{
		segments: counter("segments_total", "Segments written."),
		entries:  counter("entries_total", "Entries of the log archived."),
		bytes:    counter("bytes_total", "Bytes written to the archive."),
		trimmed:  counter("trimmed_total", "Entries that left Redis."),
		failures: counter("failures_total", "Turns in which a partition was not archived or trimmed."),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "tasklog", Subsystem: "archiver", Name: "last_success_seconds",
			Help: "When the last turn without a failure ended, since the Unix epoch.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.segments, m.entries, m.bytes, m.trimmed, m.failures, m.last)
	}
	return m
}

// count adds what was done for a partition.
func (m metrics) count(p Part) {
	m.segments.Add(float64(p.Written.Segments))
	m.entries.Add(float64(p.Written.Entries))
	m.bytes.Add(float64(p.Written.Compressed + p.Written.Tables))
	if p.Trimmed != nil {
		m.trimmed.Add(float64(p.Trimmed.Entries))
	}
}
