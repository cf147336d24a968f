package bus

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what subscribers do. All subscribers of one registry share their counters.
type metrics struct {
	undecodable, claimed, redelivered, groups, failures, restarts prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	return metrics{
		undecodable: counter(reg, "undecodable_total", "Entries that were no messages, and skipped."),
		claimed:     counter(reg, "claimed_total", "Entries taken over because they had been idle."),
		redelivered: counter(reg, "redelivered_total", "Messages delivered again because their handler refused them."),
		groups:      counter(reg, "groups_recreated_total", "Consumer groups that were gone and made again."),
		failures:    counter(reg, "read_failures_total", "Reads that failed and were tried again."),
		restarts:    counter(reg, "restarts_total", "Subscribers that ended and were started again."),
	}
}

// counter registers a counter, or returns the one that is already registered.
func counter(reg prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tasklog", Subsystem: "bus", Name: name, Help: help})
	if reg == nil {
		return c
	}
	err := reg.Register(c)
	if have, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := have.ExistingCollector.(prometheus.Counter); ok {
			return old
		}
	}
	return c
}
