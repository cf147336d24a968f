// Package whatif runs the past again under other terms: it takes arrivals, priorities, delays, retries and run
// times out of a log, and simulates the scheduler and the workers with them, event by event.
//
// # What is simulated
//
// As the services do it: a queue's waiting tasks by priority and then by log order; credit, by which they are
// made due; workers that read what is due, queue by queue in turns when they have fewer free slots than queues;
// slots; pauses; failed attempts that are tried again after the delay that they really had. What happened at a
// moment that a person or a client chose (a request, a pause, a requested retry, a cancellation) happens then.
//
// # What is not
//
// Run times that depend on how many run at once, Redis and the network under load, locks that are held, leases
// that end: an attempt that was abandoned holds a slot for as long as it really took until that was noticed.
// Whether an attempt fails, and after how long, is as it was. Tasks that are requested after the window are
// not there, so what is simulated beyond its end has the workers for itself.
//
// # Determinism
//
// The same past and the same setup give the same attempts. No clock, no dice.
package whatif

import (
	"math"
	"time"
)

// Attempt is one time that a task waited and ran. Times are those since the beginning of the window.
type Attempt struct {
	Task   string
	Queue  string
	Worker string // that took it, by its id
	// Runnable is when it could have run: requested, and its delay over. It may lie before the window.
	Runnable time.Duration
	Due      time.Duration // when it was handed to the workers; Never: it was not, or the log does not tell
	Start    time.Duration // Never: it did not
	End      time.Duration // Never: it did not; of one that was cancelled before it ran, when that was
	// Counts says that its wait is compared: in reality it started in the window or after it. It is the
	// same in what was and in what is simulated.
	Counts bool
}

// Never is a time that did not come.
const Never = time.Duration(math.MaxInt64)

// Policy says in which order a queue's tasks run.
type Policy string

// The policies.
const (
	ByPriority Policy = "priority" // the lowest number first, then in the order of the log: what the scheduler does
	FIFO       Policy = "fifo"     // what could run first, whatever its priority
)

// Worker is one that takes tasks.
type Worker struct {
	ID    string
	Slots int // attempts that it runs at once

	// Queues are those that it serves; nil means all.
	Queues []string
	// From and Until are when it came and went, since the beginning of the window. What it runs when it goes
	// it finishes.
	From, Until time.Duration
}

// Workers returns a number of workers with a number of slots each, that serve all queues all the time.
func Workers(n, slots int) []Worker {
	list := make([]Worker, n)
	for i := range list {
		list[i] = Worker{Slots: slots, Until: Never}
	}
	return list
}

// Setup is what a simulation is run with. That of Past.Setup is as it really was.
type Setup struct {
	Workers []Worker
	Policy  Policy
	Speed   float64 // of the handlers: at 2 an attempt takes half the time that it really took

	// Dispatch is the time from when a task could run until the scheduler makes it due; Pickup that from when
	// it is due, and a slot is free, until it runs.
	Dispatch, Pickup time.Duration
}
