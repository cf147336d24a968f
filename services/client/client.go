// Package client is for programs that only ask for tasks: it enqueues, waits for outcomes, and does
// to tasks and queues what the HTTP API does. It talks to Redis itself and needs no running API.
//
// # Guarantees
//
// Enqueue appends a task once, however often the network makes it repeat itself. What it refuses
// with an *events.FieldError was not appended.
//
// # Time
//
// Redis' clock alone: a delay counts from the moment at which Redis took the task.
//
// # Failure
//
// While Redis does not answer, Enqueue repeats itself until its context ends or Options.Patience is
// over; every other method gives up within a second. eventlog.Unavailable tells such errors from final ones.
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
	// Patience is how long Enqueue repeats itself while Redis does not answer. Zero means 10 s; the
	// context ends it sooner.
	Patience time.Duration
}

func (o Options) withDefaults() Options {
	if o.By == "" {
		o.By = "client"
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = events.DefaultMaxPayload
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
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// Connect opens the log at a Redis URL (redis://, rediss://, unix://). It fails when Redis does not
// answer (see eventlog.Unavailable), and with an *eventlog.ErrPartitions when the log has another
// number of partitions than Options ask for.
func Connect(ctx context.Context, url string, opts Options) (*Client, error) {
	conn, err := eventlog.Connect(url)
	if err != nil {
		return nil, err
	}
	log, err := eventlog.Open(ctx, conn, opts.Log)
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	c := New(log, opts)
	c.owned = conn
	return c, nil
}

// New returns a client of a log that the caller opened and will close, after the client.
func New(log *eventlog.Log, opts Options) *Client {
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{log: log, opts: opts.withDefaults(), stop: stop}
	for _, p := range log.Partitions() {
		c.followers = append(c.followers, &follower{ctx: ctx, log: log, part: p, running: &c.running})
	}
	return c
}

// Close ends every Wait with ErrClosed and returns when all that the client started is over, soon after;
// with a Redis that cannot be asked to end a wait, or does not answer, some seconds later.
func (c *Client) Close() error {
	c.stop()
	for _, f := range c.followers {
		f.close()
	}
	c.running.Wait()
	if c.owned == nil {
		return nil
	}
	return c.owned.Close()
}

// Task returns a task as it is now, or an eventlog.ErrNotFound.
func (c *Client) Task(ctx context.Context, id string) (events.Task, error) {
	return c.log.Task(ctx, id)
}

// Cancel ends a task, running or not; cancelling a cancelled one succeeds. It returns an
// eventlog.ErrNotFound, or an *eventlog.RefusedError for a task that is completed or failed.
func (c *Client) Cancel(ctx context.Context, id, reason string) error {
	_, err := c.log.Cancel(ctx, id, c.opts.By, reason)
	return err
}

// Retry gives a failed or cancelled task all its attempts anew. It returns an eventlog.ErrNotFound,
// or an *eventlog.RefusedError for a task in any other state.
func (c *Client) Retry(ctx context.Context, id string) error {
	request, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("retry task %s: %w", id, err)
	}
	_, err = c.log.Retry(ctx, id, c.opts.By, request.String())
	return err
}

// Pause stops a queue: nothing more of it becomes due until Resume; what is due or runs goes on. It
// reports whether the queue was not paused before.
func (c *Client) Pause(ctx context.Context, queue string) (changed bool, err error) {
	if err := events.ValidateName("queue", queue); err != nil {
		return false, err
	}
	return c.log.Pause(ctx, queue, c.opts.By)
}

// Resume ends a pause. It reports whether the queue was paused.
func (c *Client) Resume(ctx context.Context, queue string) (changed bool, err error) {
	if err := events.ValidateName("queue", queue); err != nil {
		return false, err
	}
	return c.log.Resume(ctx, queue, c.opts.By)
}
