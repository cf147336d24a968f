package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/telemetry"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/batch"
)

const manyHelp = `
With --all it is about all of a queue, and --dry-run says first how many these are. They are found as
"tasklog queues" counts them, the newest change first, and decided about one by one: one that has moved on
meanwhile is told and left alone. Ctrl-C ends it between two of them; the same command goes on with the rest.`

// manyOptions choose tasks.
type manyOptions struct {
	all, dryRun bool
	queue, name string
	states      []string
	limit       int
}

// flags adds the flags that choose many tasks to a command about one.
func (o *manyOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&o.all, "all", false, "all tasks of --queue, instead of one")
	flags.StringVar(&o.queue, "queue", "", "with --all: the queue")
	flags.StringVar(&o.name, "name", "", "with --all: only tasks of this name")
	flags.IntVar(&o.limit, "limit", 0, "with --all: so many at the most (default: any number)")
	flags.BoolVar(&o.dryRun, "dry-run", false, "with --all: only say how many")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if !o.all {
			for _, name := range []string{"queue", "name", "state", "limit", "dry-run"} {
				if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
					return fmt.Errorf("--%s chooses among many tasks: want --all with it", name)
				}
			}
			return wants(1, 1)(cmd, args)
		}
		if o.queue == "" {
			return errors.New("--all: want --queue with it")
		}
		return wants(0, 0)(cmd, args)
	}
}

// check returns what is wrong with the options, before Redis is asked.
func (o *manyOptions) check(flags *pflag.FlagSet, states []events.State) error {
	if err := noZero(flags, "limit"); err != nil {
		return err
	}
	if o.limit < 0 {
		return &usageError{fmt.Errorf("limit: %d is not at least 1", o.limit)}
	}
	for _, s := range o.states {
		if !slices.Contains(states, events.State(s)) {
			return &usageError{fmt.Errorf("state %q: want one of %v", s, states)}
		}
	}
	return events.ValidateName("queue", o.queue)
}

// manyRun goes through tasks, a page at a time.
type manyRun struct {
	*program
	manyOptions
	store *views.Store
	deed  batch.Deed
	bar   *progressbar.ProgressBar // nil: nobody looks

	Changed int             `json:"changed"`
	Refused []batch.Refusal `json:"refused"`
	More    bool            `json:"more"` // tasks that --limit may have left out
}

// many takes a decision about every task that was chosen, and tells what became of them; done is what was done to them.
func (p *program) many(ctx context.Context, o manyOptions, done string, deed func(log *eventlog.Log, by string) batch.Deed) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	known, err := log.HasQueue(ctx, o.queue)
	if err != nil {
		return err
	}
	if !known {
		return fmt.Errorf("queue %s: %w: nobody ever asked for one in it", o.queue, eventlog.ErrNotFound)
	}
	store := views.New(log)
	if err := p.seen(ctx, store); err != nil {
		return err
	}
	r := &manyRun{program: p, manyOptions: o, store: store, deed: batch.Nothing, Refused: []batch.Refusal{}}
	if !o.dryRun {
		r.deed = deed(log, operator())
	}
	if telemetry.IsTerminal(p.stderr) {
		r.bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(p.stderr), progressbar.OptionSetDescription(done),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	for _, state := range o.states {
		if err = r.through(ctx, events.State(state)); err != nil || r.More {
			break
		}
	}
	if r.bar != nil {
		_ = r.bar.Finish() // a bar that cannot be drawn stops nothing
	}
	for _, refused := range r.Refused {
		p.warn(fmt.Errorf("left alone %s: %s", refused.TaskID, refused.Detail))
	}
	if err != nil {
		return fmt.Errorf("%w\n%s; the same command goes on with the rest", err, r.sum(done))
	}
	return p.print(r, func(w io.Writer) { say(w, "%s", r.sum(done)) })
}

// seen says what the views do not have, though they had a moment for it.
func (p *program) seen(ctx context.Context, store *views.Store) error {
	if err := store.Await(ctx, views.Patience); err != nil {
		return err
	}
	lags, err := store.Lag(ctx)
	if err != nil {
		return err
	}
	var behind int64
	for _, l := range lags {
		behind += l.Entries
	}
	if behind > 0 {
		p.warn(fmt.Errorf("the views lack the newest %d events: what these changed is not seen; does a projector run?", behind))
	}
	return nil
}

// through takes the decision about the tasks in a state.
func (r *manyRun) through(ctx context.Context, state events.State) error {
	filter := views.Filter{State: state, Queue: r.queue, Name: r.name}
	for {
		if ctx.Err() != nil {
			return errStopped
		}
		if filter.Limit = batch.MaxTasks; r.limit > 0 {
			filter.Limit = min(filter.Limit, r.limit-r.Changed-len(r.Refused))
		}
		// A page is decided about as a whole: so it is known what was done.
		page, err := batch.Do(context.WithoutCancel(ctx), r.store, filter, []events.State{state}, r.deed)
		if errors.Is(err, views.ErrUnusable) {
			return fmt.Errorf("%w; make them anew with \"tasklog replay\"", err)
		}
		if err != nil {
			return err
		}
		r.Changed += page.Changed
		r.Refused = append(r.Refused, page.Refused...)
		if r.bar != nil {
			_ = r.bar.Add(page.Changed)
		}
		if r.limit > 0 && r.Changed+len(r.Refused) >= r.limit {
			r.More = true
			return nil
		}
		if filter.Cursor = page.Next; filter.Cursor == "" {
			return nil
		}
	}
}

// sum says what became of all.
func (r *manyRun) sum(done string) string {
	how, what, more := "were", "tasks", ""
	if r.Changed == 1 {
		how, what = "was", "task"
	}
	if r.dryRun {
		how = "would be"
	}
	if r.More {
		more = "; there may be more"
	}
	return fmt.Sprintf("%d %s of queue %s %s %s%s", r.Changed, what, clean(r.queue), how, done, more)
}
