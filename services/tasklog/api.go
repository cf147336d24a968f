package main

import (
	"context"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tasklog/tasklog/services/api"
)

func (p *program) apiCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "api", Short: "Run the HTTP API and the dashboard", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.serve(cmd.Context(), func(h *house) (service, error) {
				s, addr, err := h.api(cmd.Context())
				if err == nil {
					h.logger.LogAttrs(cmd.Context(), slog.LevelInfo, "the API listens", slog.String("addr", addr))
				}
				return s, err
			})
		},
	}
	addrFlag(cmd.Flags())
	return cmd
}

func addrFlag(flags *pflag.FlagSet) {
	setting(flags, "addr", "TASKLOG_ADDR", `host:port of the HTTP API; without a host, every interface (default "127.0.0.1:3000")`)
}

// api binds the address of the API, so that a taken one is known before anything runs.
func (h *house) api(ctx context.Context) (service, string, error) {
	cfg, err := load[api.Config](h.settings)
	if err != nil {
		return service{}, "", err
	}
	a, err := api.New(h.log, cfg, h.of("api"), h.metrics)
	if err != nil {
		return service{}, "", &usageError{err}
	}
	if err := a.Listen(ctx); err != nil {
		a.Close()
		return service{}, "", err
	}
	return service{"api", a.Run}, a.Addr(), nil
}
