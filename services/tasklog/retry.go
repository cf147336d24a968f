package main

import (
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/batch"
	"github.com/tasklog/tasklog/services/client"
)

const retryHelp = `Give a failed or cancelled task all its attempts anew; with --all, every failed task of a queue.
` + manyHelp

func (p *program) retryCmd() *cobra.Command {
	o := manyOptions{states: []string{string(events.StateFailed)}}
	cmd := p.withJSON(&cobra.Command{
		Use: "retry ID | --all --queue QUEUE", Short: "Give a failed or cancelled task all its attempts anew, or all failed ones", Long: retryHelp,
		Example: `  tasklog retry welcome-123
  tasklog retry --all --queue mail --name sendEmail --dry-run`,
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
	return cmd
}
