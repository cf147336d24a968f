package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/client"
)

func (p *program) pauseCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "pause QUEUE", Short: "Let nothing more of a queue become due", Args: wants(1, 1),
		Long: "Let nothing more of a queue become due, until resume. What is due or runs goes on.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.setPaused(cmd.Context(), args[0], true, (*client.Client).Pause)
		},
	})
}

func (p *program) resumeCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "resume QUEUE", Short: "End the pause of a queue", Args: wants(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.setPaused(cmd.Context(), args[0], false, (*client.Client).Resume)
		},
	})
}

func (p *program) setPaused(
	ctx context.Context, queue string, paused bool, set func(*client.Client, context.Context, string) (bool, error),
) error {
	c, shut, err := p.client(ctx)
	if err != nil {
		return err
	}
	defer shut()
	changed, err := set(c, ctx, queue)
	if err != nil {
		return err
	}
	out := struct {
		Queue   string `json:"queue"`
		Paused  bool   `json:"paused"`
		Changed bool   `json:"changed"`
	}{queue, paused, changed}
	return p.print(out, func(w io.Writer) {
		state, was := "runs", ""
		if paused {
			state = "is paused"
		}
		if !changed {
			was = ", as before"
		}
		say(w, "queue %s %s%s", clean(queue), state, was)
	})
}
