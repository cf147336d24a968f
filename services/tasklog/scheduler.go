package main

import (
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/scheduler"
)

func (p *program) schedulerCmd() *cobra.Command {
	cmd := serviceFlags(&cobra.Command{
		Use: "scheduler", Short: "Run a scheduler: it decides when tasks may run", Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.serve(cmd.Context(), (*house).scheduler)
		},
	})
	setting(cmd.Flags(), "lease-ttl", "TASKLOG_LEASE_TTL", "how long an attempt lives without a heartbeat; as the workers have it")
	return cmd
}

func (h *house) scheduler() (service, error) {
	cfg, err := load[scheduler.Config](h.settings)
	if err != nil {
		return service{}, err
	}
	s, err := scheduler.New(h.log, cfg, h.of("scheduler"), h.metrics)
	if err != nil {
		return service{}, &usageError{err}
	}
	return service{"scheduler", s.Run}, nil
}
