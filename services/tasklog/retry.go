package main

import (
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/batch"
	"github.com/tasklog/tasklog/services/client"
)

const retryHelp = `Give a failed or cancelled task all its attempts anew; with --all, every failed task of a queue, or every
cancelled one with --state cancelled. It may run at once: what was left of its delay is not kept.
` + manyHelp

func (p *program) retryCmd() *cobra.Command {
	var o manyOptions
	cmd := p.withJSON(&cobra.Command{
		Use: "retry ID | --all --queue QUEUE", Short: "Give a failed or cancelled task all its attempts anew, or all of a queue", Long: retryHelp,
		Example: `  tasklog retry welcome-123
  tasklog retry --all --queue mail --name sendEmail --dry-run
  tasklog retry --all --queue mail --state cancelled`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !o.all {
				return p.act(cmd.Context(), args[0], (*client.Client).Retry)
			}
			if err := o.check(cmd.Flags(), batch.Retryable); err != nil {
				return err
			}
			return p.many(cmd.Context(), o, "retried", batch.Retry)
		},
	})
	o.flags(cmd)
	cmd.Flags().StringSliceVar(&o.states, "state", []string{string(events.StateFailed)},
		"with --all: only tasks in this state, failed or cancelled; several are separated by commas")
	return cmd
}
