package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
	"github.com/tasklog/tasklog/services/client"
)

func (p *program) cancelCmd() *cobra.Command {
	var reason string
	cmd := p.withJSON(&cobra.Command{
		Use: "cancel ID", Short: "End a task, running or not", Args: wants(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.act(cmd.Context(), args[0], func(c *client.Client, ctx context.Context, id string) error {
				return c.Cancel(ctx, id, reason)
			})
		},
	})
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
