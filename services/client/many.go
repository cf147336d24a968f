package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// What EnqueueMany asks for at once. As much is read ahead meanwhile, so that it needs some MiB, however many
// tasks there are.
const (
	manyTasks = 1024
	manyBytes = 4 << 20 // of payloads, unless one has more
)

// between is how long a request waits after the log gave up.
const between = 250 * time.Millisecond

// EnqueueMany asks for each task of a sequence, such as slices.Values of a slice, and yields for each, in order,
// what Enqueue would return. A task that is wrong fails alone. The tasks of a partition are appended in their
// order, so that those of a queue with the same priority and no delay run in it.
//
// When Redis does not take a task, because it is full, away for longer than Options.Patience, or its log is
// eventlog.Closed, or when ctx ends,
// none is asked for any more: what is read from there on is answered with that error. Asking again for all that
// have it, with the IDs that the receipts still have where the tasks had none, is safe.
//
// The sequence is read in a goroutine of its own, some thousand tasks ahead at the most, and never waits for
// more: a task that comes alone goes alone. Who leaves the loop stops the reading, and leaves it unknown what
// became of the tasks that were read; a sequence that blocks must end with ctx.
func (c *Client) EnqueueMany(ctx context.Context, tasks iter.Seq[Task]) iter.Seq2[Receipt, error] {
	return func(yield func(Receipt, error) bool) {
		checked := func(yield func(*asked) bool) {
			for t := range tasks {
				if !yield(c.asked(t)) {
					return
				}
			}
		}
		var over error // why none is asked for any more
		for batch := range eventlog.Gather(checked, manyTasks, manyBytes, (*asked).size) {
			right := slices.DeleteFunc(slices.Clone(batch), func(a *asked) bool { return a.err != nil })
			switch {
			case over != nil:
				over = fail(right, over)
			case len(right) > 0:
				over = c.ask(ctx, right)
			}
			for _, a := range batch {
				if !yield(a.receipt, a.err) {
					return
				}
			}
		}
	}
}

// asked is a task that is asked for, and what became of it.
type asked struct {
	request eventlog.Request
	receipt Receipt
	err     error
	last    error // why it was not answered before, while it is asked for again
}

// asked checks a task.
func (c *Client) asked(t Task) *asked {
	r, err := c.request(t)
	if err != nil {
		return &asked{err: err}
	}
	return &asked{request: r, receipt: Receipt{ID: r.Task, Queue: r.Queue}}
}

func (a *asked) size() int { return len(a.request.Payload) }

// requestsOf are the same each time: their tokens tell Redis that it is a repeat and no duplicate.
func requestsOf(list []*asked) []eventlog.Request {
	requests := make([]eventlog.Request, len(list))
	for i, a := range list {
		requests[i] = a.request
	}
	return requests
}

// why is what to say of a task that was not taken because of err: what was wrong when it was asked for comes first.
func (a *asked) why(err error) error {
	switch {
	case a.last == nil:
		return err
	case err == nil:
		return a.last
	}
	return fmt.Errorf("%w; %w", a.last, err)
}

// closed answers a task whose log is closed, and returns why. Where Redis did not answer an earlier try, that may
// have been taken: then it says so instead.
func (a *asked) closed(err error) error {
	if a.last != nil && !errors.Is(a.last, eventlog.ErrRebuilding) {
		err = fmt.Errorf("%w; %s", a.last, err.Error())
	}
	a.err = fmt.Errorf("enqueue: %w", err)
	return err
}

// fail answers all of a list with an error, and returns it. It may be nil where all of them were asked for before.
func fail(list []*asked, err error) error {
	over := err
	for i, a := range list {
		a.err = fmt.Errorf("enqueue: %w", a.why(err))
		if i == 0 {
			over = a.why(err)
		}
	}
	return over
}

// ask asks for tasks, again while Redis does not answer and Patience is not over. It returns why some were not
// taken for want of Redis, or because the log is closed; they have that error, too.
func (c *Client) ask(ctx context.Context, list []*asked) (over error) {
	patience, cancel := context.WithTimeout(ctx, c.opts.Patience)
	defer cancel()
	requests := requestsOf(list)
	if err := c.admit(patience, requests); err != nil {
		return fail(list, err)
	}
	for ; ; requests = requestsOf(list) {
		answers, err := within(patience, c, func() ([]eventlog.Requested, error) { return c.log.RequestMany(patience, requests), nil })
		if err != nil {
			return fail(list, err)
		}
		var open []*asked
		for i, got := range answers {
			switch a := list[i]; {
			case got.Err == nil:
				a.receipt = Receipt{
					ID: got.Task, Queue: got.Queue, State: got.State, DueAt: time.UnixMilli(got.DueAt).UTC(),
					Event: got.Event, Duplicate: got.Duplicate,
				}
			case eventlog.Closed(got.Err): // no patience helps
				over = a.closed(got.Err)
			case eventlog.Unavailable(got.Err):
				open, a.last = append(open, a), got.Err
			default:
				a.err = fmt.Errorf("enqueue: %w", got.Err)
			}
		}
		if len(open) == 0 {
			return over
		}
		if list = open; patience.Err() != nil {
			return fail(list, nil)
		}
		select {
		case <-time.After(between):
		case <-patience.Done():
		}
	}
}

// admit returns an eventlog.ErrFull when Redis has no room for more tasks.
func (c *Client) admit(ctx context.Context, rs []eventlog.Request) error {
	_, err := within(ctx, c, func() (struct{}, error) { return struct{}{}, c.log.Conn().Admit(ctx, c.opts.MaxMemory, rs...) })
	return err
}
