package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/client"
)

const pauseHelp = `Let nothing more of a queue become due, until resume. What is due or runs goes on.

A queue can be paused before its first task. That nobody asked for one yet is said, for the name may be
mistyped; such a queue is in no list any more when it is resumed.`

func (p *program) pauseCmd() *cobra.Command {
	return p.withJSON(&cobra.Command{
		Use: "pause QUEUE", Short: "Let nothing more of a queue become due", Args: wants(1, 1),
		Long: pauseHelp,
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
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	c, shut, err := p.clientOf(log, shut)
	if err != nil {
		return err
	}
	defer shut()
	known, err := log.HasQueue(ctx, queue) // before it is paused
	if err != nil {
		return err
	}
	changed, err := set(c, ctx, queue)
	if err != nil {
		return err
	}
	if !known {
		p.warn(fmt.Errorf("queue %s is new: no task was ever asked for in it", queue))
	}
	out := struct {
		Queue   string `json:"queue"`
		Paused  bool   `json:"paused"`
		Changed bool   `json:"changed"`
		New     bool   `json:"new,omitempty"` // no task was ever asked for in it
	}{queue, paused, changed, !known}
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
