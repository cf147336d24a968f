// Package worker runs tasks. It is the public SDK for handlers in Go, and what the stock binary
// runs for handlers in any language: see package httptarget.
//
//	w, err := worker.Connect(ctx, "redis://127.0.0.1:6379/0", worker.Config{})
//	if err != nil {
//		return err
//	}
//	worker.Handle(w, "sendEmail", func(ctx context.Context, t worker.Task[Email]) (any, error) {
//		return nil, send(ctx, t.Payload, t.IdempotencyKey())
//	})
//	return w.Run(ctx)
//
// # The processes
//
//	reader     takes what is due, a batch at a time; one for each partition
//	attempt    lock, start, handler, finish; one for each task that runs, within a Watermill router
//	watchdog   extends locks and leases of all that runs
//	presence   says every few seconds that this worker is there
//	signals    hears of new queues and of cancellations, a little sooner than without
//
// # Guarantees
//
// At most one attempt at a time holds a task. How an attempt ended is recorded once, and only while
// the attempt holds its task: by the attempt's number, which is the fencing token, not by the lock.
// A handler runs again only when its attempt failed, was given back, or its worker fell silent for
// longer than a lease: what it does outside should carry Task.IdempotencyKey. No more attempts are
// active at once than Config.Concurrency says, by the log, too: while an end is recorded the next entry is taken, and
// started after that.
//
// # Time
//
// Redis' clock decides when a lease ends. Timeouts and the grace period are local and monotonic.
//
// # Failure
//
// Redis not there yet: Connect waits for it. Redis away: handlers run on, and what they return is kept
// and recorded when Redis is back. This process killed: the scheduler finds the ended leases, and entries
// that it had taken but not started are claimed by another worker. A handler that hangs cannot be killed:
// its context ends, its slot stays taken.
//
// The Redis client under this package, github.com/redis/go-redis/v9, says on the standard error of the
// process what befalls its connections. Where that is to go a program says with redis.SetLogger; with
// logging.Disable of its package logging, nowhere. What matters the worker logs itself.
package worker
