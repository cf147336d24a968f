package main

import (
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/client"
)

func (p *program) retryCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "retry ID", Short: "Give a failed or cancelled task all its attempts anew", Args: wants(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.act(cmd.Context(), args[0], (*client.Client).Retry)
		},
	})
}
