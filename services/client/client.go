// Package client is for programs that only ask for tasks: it enqueues, waits for outcomes, and does
// to tasks and queues what the HTTP API does. It talks to Redis itself and needs no running API.
//
// # Guarantees
//
// Enqueue and EnqueueMany append a task once, however often the network makes them repeat themselves.
// What they refuse with an *events.FieldError was not appended.
//
// # Time
//
// Redis' clock alone: a delay counts from the moment at which Redis took the task.
//
// # Failure
//
// While Redis does not answer, Connect, Enqueue and EnqueueMany repeat themselves until Options.Patience is over;
// every other method gives up sooner where nobody listens, and within half a minute where nobody answers. Each of
// them ends with its context. eventlog.Unavailable tells such errors from final ones. A log that was moved, or is an
// unfinished copy, nobody waits for: eventlog.Closed tells these errors, which count as Unavailable.
//
// The Redis client under this package, github.com/redis/go-redis/v9, says on the standard error of the
// process what befalls its connections. Where that is to go a program says with redis.SetLogger; with
// logging.Disable of its package logging, nowhere.
package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Options choose the log and how a Client behaves. The zero Options are good.
type Options struct {
	// Log chooses the log under the Redis URL; see eventlog.Config.
	Log eventlog.Config
	// By is who asks, as TaskCancelled, TaskRetryRequested and QueuePaused record it. Empty means "client".
	By string
	// MaxPayload is how many bytes of JSON a payload may have. Zero means 1 MiB.
	MaxPayload int
	// MaxMemory is how full Redis may be, in percent of its maxmemory, when it is given one more task; see
	// eventlog.ErrFull. Zero means 75, more than 100 that Redis itself refuses when there is no room.
	MaxMemory int
	// Patience is how long Connect, Enqueue and EnqueueMany repeat themselves while Redis does not answer.
	// Zero means 10 s; the context ends it sooner.
	Patience time.Duration
}

func (o Options) withDefaults() Options {
	if o.By == "" {
		o.By = "client"
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = events.DefaultMaxPayload
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = eventlog.DefaultAdmit
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	return o
}

// Client asks for tasks. Its methods may be called from many goroutines.
type Client struct {
	log       *eventlog.Log
	opts      Options
	owned     *eventlog.Conn // closed with the client; nil when the caller opened the log
	followers []*follower    // one a partition

	life    context.Context //nolint:containedctx // the client's: a reader serves many waits
	stop    context.CancelFunc
	mu      sync.Mutex
	closed  bool // nothing is started any more
	running sync.WaitGroup
}

// Connect opens the log at a Redis URL (redis://, rediss://, unix://). It fails when Redis cannot be used within
// Options.Patience (see eventlog.Unavailable), or some seconds later when it is reached and does not answer; and with an
// *eventlog.ErrPartitions when the log has another number of partitions than Options ask for. A Redis that would lose
// tasks is refused (see eventlog.Server.Unfit): where that does no harm, open the log yourself and use New.
func Connect(ctx context.Context, url string, opts Options) (*Client, error) {
	conn, err := eventlog.Connect(url)
	if err != nil {
		return nil, err
	}
	patience, cancel := context.WithTimeout(ctx, opts.withDefaults().Patience)
	defer cancel()
	var log *eventlog.Log
	err = eventlog.Await(patience, func() error {
		log, err = eventlog.Open(ctx, conn, opts.Log)
		return err
	}, func(error) {})
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	if _, unfit, _ := conn.Judge(ctx); unfit != nil { // where it does not tell, it is taken as it is
		_ = conn.Close() // nothing was sent
		return nil, fmt.Errorf("this redis cannot keep the log: %w", unfit)
	}
	c := New(log, opts)
	c.owned = conn
	return c, nil
}

// New returns a client of a log that the caller opened and will close, after the client.
func New(log *eventlog.Log, opts Options) *Client {
	c := &Client{log: log, opts: opts.withDefaults()}
	c.life, c.stop = context.WithCancel(context.Background())
	for _, p := range log.Partitions() {
		c.followers = append(c.followers, &follower{client: c, part: p})
	}
	return c
}

// Close ends every call with ErrClosed, which leaves it unknown what Redis did, and returns when all that
// the client started is over: soon after, and within half a minute with a Redis that does not answer.
func (c *Client) Close() error {
	c.stop()
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.running.Wait()
	if c.owned == nil {
		return nil
	}
	return c.owned.Close()
}

// start runs f in a goroutine that Close waits for, unless the client is closed.
func (c *Client) start(f func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.running.Go(f)
	return nil
}

// within returns what f does, or, when that comes first, why ctx ended or that the client was closed: a
// command under way ends by itself no sooner than Redis' answer is some seconds overdue.
func within[T any](ctx context.Context, c *Client, f func() (T, error)) (T, error) {
	type answer struct {
		t   T
		err error
	}
	var none T
	done := make(chan answer, 1)
	err := c.start(func() {
		t, err := f()
		done <- answer{t, err}
	})
	if err != nil {
		return none, err
	}
	select {
	case a := <-done:
		return a.t, a.err
	case <-ctx.Done():
		return none, fmt.Errorf("wait for redis: %w", context.Cause(ctx))
	case <-c.life.Done():
		return none, ErrClosed
	}
}

// Task returns a task as it is now, or an eventlog.ErrNotFound.
func (c *Client) Task(ctx context.Context, id string) (events.Task, error) {
	return within(ctx, c, func() (events.Task, error) { return c.log.Task(ctx, id) })
}

// Cancel ends a task, running or not; cancelling a cancelled one succeeds. It returns an
// eventlog.ErrNotFound, or an *eventlog.RefusedError for a task that is completed or failed.
func (c *Client) Cancel(ctx context.Context, id, reason string) error {
	_, err := within(ctx, c, func() (events.ID, error) { return c.log.Cancel(ctx, id, c.opts.By, reason) })
	return err
}

// Retry gives a failed or cancelled task all its attempts anew. It returns an eventlog.ErrNotFound,
// or an *eventlog.RefusedError for a task in any other state.
func (c *Client) Retry(ctx context.Context, id string) error {
	request, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("retry task %s: %w", id, err)
	}
	_, err = within(ctx, c, func() (events.ID, error) { return c.log.Retry(ctx, id, c.opts.By, request.String()) })
	return err
}

// Pause stops a queue: nothing more of it becomes due until Resume; what is due or runs goes on. It
// reports whether the queue was not paused before.
func (c *Client) Pause(ctx context.Context, queue string) (changed bool, err error) {
	if err := events.ValidateName("queue", queue); err != nil {
		return false, err
	}
	return within(ctx, c, func() (bool, error) { return c.log.Pause(ctx, queue, c.opts.By) })
}

// Resume ends a pause. It reports whether the queue was paused.
func (c *Client) Resume(ctx context.Context, queue string) (changed bool, err error) {
	if err := events.ValidateName("queue", queue); err != nil {
		return false, err
	}
	return within(ctx, c, func() (bool, error) { return c.log.Resume(ctx, queue, c.opts.By) })
}
