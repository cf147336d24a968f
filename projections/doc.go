// Package projections says what events mean. A View is a fold: it is made by applying events, one
// after the other, and from nothing else, so that it can be thrown away and made again.
//
// # The views
//
//	queues      how many tasks of a queue are in which state, and what happened in the last half hour
//	throughput  what happened over the last week, and how long it took
//	names       what happened in the last day to the tasks of each name in a queue
//	workers     who ran what, and what they run now
//	tasks       which task is in which state since when: the index for listings
//
// # Guarantees
//
// Apply is deterministic and cannot fail: no clock, no dice, no I/O. The same events in the same
// order give the same bytes, whatever the batches and wherever a replay began. Every view is bounded
// by what runs and by what is configured, not by the length of the log, except that each queue that
// was ever asked for has its counts.
//
// # One partition
//
// A view belongs to one partition of the log, for order exists only there. Views of several
// partitions are merged when they are read.
package projections
