package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthConfig is where the services of this machine may be asked.
type healthConfig struct {
	HealthAddr string `env:"TASKLOG_HEALTH_ADDR"`
	Addr       string `env:"TASKLOG_ADDR"`
}

func (p *program) healthCmd() *cobra.Command {
	var addr string
	cmd := p.withJSON(&cobra.Command{
		Use: "health", Short: "Ask a service whether it is ready, or Redis whether it answers", Args: wants(0, 0),
		Long: "Ask the service at --addr, TASKLOG_HEALTH_ADDR or TASKLOG_ADDR whether it is ready; without any, or\n" +
			"with --redis, ask Redis whether it answers. Exit code 0 means yes.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load[healthConfig](p.settings)
			if err != nil {
				return err
			}
			if addr == "" && cmd.Flags().Changed("redis") {
				return p.askRedis(cmd.Context())
			}
			for _, at := range []string{addr, cfg.HealthAddr, cfg.Addr} {
				if at != "" {
					return p.askReady(cmd.Context(), at)
				}
			}
			return p.askRedis(cmd.Context())
		},
	})
	cmd.Flags().StringVar(&addr, "addr", "", "host:port of the service's /readyz")
	return cmd
}

// health is what the command prints.
type health struct {
	Ready bool   `json:"ready"`
	What  string `json:"what"`           // that was asked
	Says  string `json:"says,omitempty"` // in words
}

func (p *program) askReady(ctx context.Context, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return &usageError{fmt.Errorf("health address %q: want host:port", addr)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // where a service listens on every interface, it does so on this one
	}
	at := "http://" + net.JoinHostPort(host, port) + "/readyz"
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return &usageError{err}
	}
	direct := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy, whatever the environment says
	resp, err := direct.Do(req)
	if err != nil {
		return p.verdict(health{What: at, Says: err.Error()})
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	said, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return p.verdict(health{What: at, Says: err.Error()})
	}
	return p.verdict(health{Ready: resp.StatusCode == http.StatusOK, What: at, Says: strings.TrimSpace(string(said))})
}

func (p *program) askRedis(ctx context.Context) error {
	cfg, err := load[config](p.settings)
	if err != nil {
		return err
	}
	at := redisURL(cfg.withDefaults())
	conn, err := connect(at)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing was asked but PING
	if err := conn.Ping(ctx); err != nil {
		return away(at, err)
	}
	return p.verdict(health{Ready: true, What: redacted(at), Says: "it answers"})
}

func (p *program) verdict(h health) error {
	if err := p.print(h, func(w io.Writer) { say(w, "%s: %s", h.What, clean(h.Says)) }); err != nil {
		return err
	}
	if !h.Ready {
		return errSilent
	}
	return nil
}
