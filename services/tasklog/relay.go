package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/relay"
)

func (p *program) relayCmd() *cobra.Command {
	cmd := serviceFlags(&cobra.Command{
		Use: "relay --to URL", Short: "Post events to a webhook, each at least once", Args: wants(0, 0),
		Long: "Post events to a webhook, signed, each at least once. By default these are the ones\n" +
			"that end a task. A new consumer group begins with the oldest event of the log, and goes on where it was.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load[relay.Config](p.settings)
			if err != nil {
				return err
			}
			if cfg.To == "" {
				return &usageError{errors.New("a relay needs a webhook: --to URL")}
			}
			return p.serve(cmd.Context(), func(h *house) (service, error) { return h.relay(cfg) })
		},
	})
	flags := cmd.Flags()
	setting(flags, "to", "TASKLOG_RELAY_TO", "URL of the webhook")
	setting(flags, "types", "TASKLOG_RELAY_TYPES", "event types to deliver, separated by commas (default the final ones)")
	setting(flags, "secret", "TASKLOG_RELAY_SECRET", "secret that signs requests; better given by the variable, for others see a command line")
	setting(flags, "allow", "TASKLOG_RELAY_ALLOW", "networks beyond the public internet that the webhook may be in, separated by commas")
	setting(flags, "group", "TASKLOG_RELAY_GROUP", "consumer group, which keeps the position (default relay)")
	return cmd
}

func (h *house) relay(cfg relay.Config) (service, error) {
	r, err := relay.New(h.log, cfg, h.of("relay"), h.metrics)
	if err != nil {
		return service{}, &usageError{err}
	}
	return service{"relay", r.Run}, nil
}
