package main

import (
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/projector"
)

func (p *program) projectorCmd() *cobra.Command {
	return serviceFlags(&cobra.Command{
		Use: "projector", Short: "Run a projector: it keeps the views up with the log", Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.serve(cmd.Context(), (*house).projector)
		},
	})
}

func (h *house) projector() (service, error) {
	cfg, err := load[projector.Config](h.settings)
	if err != nil {
		return service{}, err
	}
	s, err := projector.New(h.log, cfg, h.of("projector"), h.metrics)
	if err != nil {
		return service{}, &usageError{err}
	}
	return service{"projector", s.Run}, nil
}
