package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what the API serves.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streams  prometheus.Gauge
	dropped  prometheus.Counter
	skipped  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	const namespace, subsystem = "tasklog", "api"
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "requests_total", Help: "Requests answered.",
		}, []string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "request_seconds",
			Help: "How long an answer took, event streams and bulks left out.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}, []string{"route", "method"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "event_streams", Help: "Event streams that are open.",
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "event_streams_dropped_total", Help: "Event streams ended because their client was too slow.",
		}),
		skipped: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "undecodable_total", Help: "Log entries that are no event and were skipped.",
		}),
	}
	reg.MustRegister(m.requests, m.seconds, m.streams, m.dropped, m.skipped)
	return m
}

// methods are those that are counted by name: a client can make up any other.
var methods = map[string]bool{"GET": true, "HEAD": true, "POST": true, "PUT": true, "PATCH": true, "DELETE": true, "OPTIONS": true}

func (m metrics) observe(route, method string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	if !methods[method] {
		method = "other"
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	if route != streamRoute && route != bulkRoute {
		m.seconds.WithLabelValues(route, method).Observe(took.Seconds())
	}
}
