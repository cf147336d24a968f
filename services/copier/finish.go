package copier

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// move shuts the source, copies the rest, and opens the copy instead.
func (c *Copy) move(ctx context.Context) error {
	err := c.cutOver(ctx)
	if err != nil && !c.given {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if reopened := c.reopen(late); reopened != nil {
			err = fmt.Errorf("%w\nthe source is still shut, for %w: `tasklog copy --reopen` opens it", err, reopened)
		}
	}
	if err != nil {
		return err
	}
	return c.open(ctx)
}

// cutOver is a move up to where the source is given up. What fails before that can be undone.
func (c *Copy) cutOver(ctx context.Context) error {
	if err := c.shutSource(ctx); err != nil {
		return err
	}
	crashpoint.Hit(crashpoint.CopyAfterShut)
	gate, err := gateOf(ctx, c.source, c.source.Partitions()[0])
	if err != nil {
		return err
	}
	if err := c.pass(ctx, events.MaxID); err != nil {
		return err
	}
	if err := c.count(ctx); err != nil {
		return err
	}
	c.sum.UpTo = time.Time{}
	switch {
	case c.sum.Behind != 0:
		return fmt.Errorf("the source has %d entries more than were copied, although it is shut: somebody else writes to it", c.sum.Behind)
	case c.sum.Running > 0 && !c.cfg.Running && kindOf(gate) == eventlog.GateMoving:
		return &RunningError{c.sum.Running}
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	c.given = true
	if err := c.giveUp(ctx); err != nil {
		return fmt.Errorf("%w\nthe source may be given up: run `tasklog copy` with --move again", err)
	}
	crashpoint.Hit(crashpoint.CopyAfterMoved)
	return nil
}

// prepare makes the state of the copy, where that is shut.
func (c *Copy) prepare(ctx context.Context) error {
	for _, t := range c.targets {
		if t.gate == "" {
			continue
		}
		for _, step := range []func() error{func() error { return t.whole(ctx) }, func() error { return c.retire(ctx, t) }} {
			if err := eventlog.Persist(ctx, step); err != nil {
				return err
			}
		}
	}
	crashpoint.Hit(crashpoint.CopyBeforeState)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, len(c.targets))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, t := range c.targets {
		if t.gate == "" {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if errs[i] = c.cfg.State(ctx, t.part, t.gate); errs[i] != nil {
				stop() // the others need not go on
			}
		})
	}
	wg.Wait()
	if err := first(errs); err != nil {
		return err
	}
	crashpoint.Hit(crashpoint.CopyAfterState)
	return nil
}

// retire says in a partition of the copy which rows went in the source because there were too many: the log does
// not tell. An entry that got another id got one of the same ms. Where partitions of the source make one of the
// copy, the newest of what went counts for all: a task that ended before is forgotten there, and its id is free.
func (c *Copy) retire(ctx context.Context, t *target) error {
	upto := map[string]events.ID{}
	for _, s := range c.sources {
		if !c.feeds(s.part, t.part) {
			continue
		}
		retired, err := c.source.RetiredUpto(ctx, s.part)
		if err != nil {
			return err
		}
		for queue, id := range retired {
			if id.Ms >= upto[queue].Ms {
				upto[queue] = events.ID{Ms: id.Ms, Seq: events.MaxID.Seq}
			}
		}
	}
	if len(upto) == 0 {
		return nil
	}
	fields := make(map[string]any, len(upto))
	for queue, id := range upto {
		fields[queue] = id.String()
	}
	if err := c.target.Conn().View.HSet(ctx, t.part.Retired, fields).Err(); err != nil {
		return fmt.Errorf("write %s: %w", t.part.Retired, err)
	}
	return nil
}

// first returns the first of some errors that says why the others came.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// open opens the copy, and makes its views: decisions need none.
func (c *Copy) open(ctx context.Context) error {
	for _, t := range c.targets {
		if err := t.finish(ctx); err != nil {
			return err
		}
	}
	if err := c.letGo(ctx); err != nil {
		return err
	}
	for _, t := range c.targets {
		if t.gate == "" {
			continue
		}
		if err := swap(ctx, c.target, t.part, t.gate, ""); err != nil {
			return err
		}
		crashpoint.Hit(crashpoint.CopyMidOpen)
	}
	c.sum.Opened = true
	if c.cfg.Views == nil {
		return nil
	}
	if err := c.cfg.Views(ctx); err != nil {
		return fmt.Errorf("the copy is open, and its views are left to a projector: %w", err)
	}
	return nil
}

// complete reports whether an earlier run copied everything.
func (c *Copy) complete() bool {
	return slices.ContainsFunc(c.targets, func(t *target) bool { return t.done })
}

// end opens what an earlier run copied, and did not open. A move that is over is done again: that changes nothing.
func (c *Copy) end(ctx context.Context) error {
	for _, t := range c.targets {
		c.sum.Entries += t.cp.Entries
	}
	shut := slices.ContainsFunc(c.targets, func(t *target) bool { return t.gate != "" })
	switch c.cfg.Mode {
	case Follow:
		return ErrFinished
	case Clone:
		if !shut {
			return ErrFinished
		}
	case Move:
		for _, p := range c.source.Partitions() {
			gate, err := gateOf(ctx, c.source, p)
			if err != nil {
				return err
			}
			if kindOf(gate) != eventlog.GateMoved || otherOf(gate) != c.cfg.Target {
				return fmt.Errorf("%w\nThe log that it was made from is open", ErrFinished)
			}
		}
	}
	if err := c.prepare(ctx); err != nil {
		return err
	}
	return c.open(ctx)
}
