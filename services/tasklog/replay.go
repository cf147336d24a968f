package main

import (
	"context"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/infra/telemetry"
	"github.com/tasklog/tasklog/services/projector"
)

const replayHelp = `Make every view anew from the log: queues, tasks by state, throughput, workers. Services may run
meanwhile: the old views stay until the new ones, made beside them, take their place in one step. What differed is
told. One that was killed changed nothing, or all: run it again.`

func (p *program) replayCmd() *cobra.Command {
	return p.withState(p.withJSON(&cobra.Command{
		Use: "replay", Short: "Make every view anew from the log", Args: cobra.NoArgs,
		Long: replayHelp,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.replay(cmd.Context()) },
	}))
}

func (p *program) replay(ctx context.Context) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	sum, err := projector.Rebuild(ctx, log, projector.Options{Progress: p.progress()})
	if err != nil {
		return err
	}
	out := struct {
		Partitions int   `json:"partitions"`
		Entries    int64 `json:"entries"` // read
		Skipped    int64 `json:"skipped"` // of these, no events
		Missed     int64 `json:"missed"`  // entries that were trimmed before
		TookMs     int64 `json:"tookMs"`
	}{sum.Partitions, sum.Entries, sum.Skipped, sum.Missed, sum.Took.Milliseconds()}
	return p.print(out, func(w io.Writer) {
		say(w, "replayed %d entries in %s", out.Entries, sum.Took.Round(time.Millisecond))
		if out.Skipped > 0 {
			say(w, "%d of them are no events and were skipped", out.Skipped)
		}
		if out.Missed > 0 {
			say(w, "%d entries were trimmed from the log before: the views count what is left of it", out.Missed)
		}
	})
}

// progress returns what shows people how far it is, or nil when nobody looks.
func (p *program) progress() func(done, total int64) {
	if !telemetry.IsTerminal(p.stderr) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, total int64) {
		if bar == nil {
			bar = p.bar("replaying", total)
		}
		_ = bar.Set64(done) // a bar that cannot be drawn stops nothing
	}
}

// bar returns a progress bar.
func (p *program) bar(what string, total int64) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.stderr),
		progressbar.OptionSetDescription(what), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("entries"), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
}
