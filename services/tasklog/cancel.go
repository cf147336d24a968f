package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/batch"
	"github.com/tasklog/tasklog/services/api/wire"
	"github.com/tasklog/tasklog/services/client"
)

const cancelHelp = `End a task, running or not; with --all, every task of a queue that is not over. --state chooses among these.
` + manyHelp + `
A task that goes on to its next state in the moment in which it is looked at is cancelled, too.`

func (p *program) cancelCmd() *cobra.Command {
	var (
		reason string
		o      manyOptions
	)
	all := make([]string, len(batch.Cancellable))
	for i, s := range batch.Cancellable {
		all[i] = string(s)
	}
	cmd := p.withJSON(&cobra.Command{
		Use: "cancel ID | --all --queue QUEUE", Short: "End a task, running or not, or all of a queue", Long: cancelHelp,
		Example: `  tasklog cancel welcome-123 --reason 'no longer wanted'
  tasklog cancel --all --queue mail --state waiting,delayed --dry-run`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.all {
				if err := o.check(cmd.Flags(), batch.Cancellable); err != nil {
					return err
				}
				return p.many(cmd.Context(), o, "cancelled", func(log *eventlog.Log, by string) batch.Deed {
					return batch.Cancel(log, by, reason)
				})
			}
			return p.act(cmd.Context(), args[0], func(c *client.Client, ctx context.Context, id string) error {
				return c.Cancel(ctx, id, reason)
			})
		},
	})
	o.flags(cmd)
	cmd.Flags().StringSliceVar(&o.states, "state", all, "with --all: only tasks in this state; several are separated by commas")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	return cmd
}

// act does something to a task and prints the task as it is then.
func (p *program) act(ctx context.Context, id string, do func(c *client.Client, ctx context.Context, id string) error) error {
	c, shut, err := p.client(ctx)
	if err != nil {
		return err
	}
	defer shut()
	if events.ValidateName("id", id) != nil {
		return fmt.Errorf("task %s: %w", id, eventlog.ErrNotFound) // no task can have it: it must not become a key
	}
	if err := do(c, ctx, id); err != nil {
		return err
	}
	t, err := c.Task(ctx, id)
	if err != nil {
		return err
	}
	return p.print(wire.TaskOf(t), func(w io.Writer) { say(w, "%s is %s", clean(id), t.State) })
}
