package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tasklog/tasklog/services/api"
)

func (p *program) apiCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "api", Short: "Run the HTTP API and the dashboard", Args: wants(0, 0),
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
	apiFlags(cmd.Flags())
	return cmd
}

func apiFlags(flags *pflag.FlagSet) {
	setting(flags, "addr", "TASKLOG_ADDR", `host:port of the HTTP API; without a host, every interface (default "127.0.0.1:3000")`)
	setting(flags, "tokens", "TASKLOG_TOKENS", "file of the tokens that may use the API; without, it listens on loopback only")
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
		if errors.Is(err, api.ErrOpen) {
			err = &usageError{err}
		}
		return service{}, "", err
	}
	return service{"api", a.Run}, a.Addr(), nil
}
