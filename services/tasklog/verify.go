package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/telemetry"
	"github.com/tasklog/tasklog/projections/audit"
	"github.com/tasklog/tasklog/services/verifier"
)

const verifyHelp = `Read the whole log, check every promise that it can show, and hold rows, queues, leases and views
against it. Services may run meanwhile: what looks different is read again before it counts.

It ends with 1 when an invariant is broken or something differs, and says which entry or key. What the
log has no example of it says too: of that a good end proves nothing.`

func (p *program) verifyCmd() *cobra.Command {
	var cfg verifier.Config
	cmd := p.withJSON(&cobra.Command{
		Use: "verify", Short: "Prove the log, and all that is kept beside it", Long: verifyHelp, Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.One = cmd.Flags().Changed("partition")
			return p.verify(cmd.Context(), cfg)
		},
	})
	flags := cmd.Flags()
	flags.BoolVar(&cfg.Settled, "settled", false, "every task must be final by now")
	flags.BoolVar(&cfg.Undecodable, "allow-undecodable", false, "entries that are no events are counted only")
	flags.IntVar(&cfg.Partition, "partition", 0, "only this partition, counted from 0 (default all)")
	flags.IntVar(&cfg.Limit, "limit", 20, "how many violations and differences are told; all are counted")
	flags.DurationVar(&cfg.Patience, "patience", 3*time.Second, "how long what looks different is looked at again")
	return cmd
}

func (p *program) verify(ctx context.Context, cfg verifier.Config) error {
	if cfg.Limit < 1 {
		return &usageError{fmt.Errorf("limit: %d is not at least 1", cfg.Limit)}
	}
	if cfg.Patience <= 0 {
		return &usageError{fmt.Errorf("patience: %s is not above 0", cfg.Patience)}
	}
	own, err := load[config](p.settings)
	if err != nil {
		return err
	}
	cfg.MaxPayload = max(own.MaxPayload, events.DefaultMaxPayload)
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	cfg.Progress = p.stages()
	p.collectOften()
	r, err := verifier.Run(ctx, log, cfg)
	if err != nil {
		return err
	}
	if err := p.print(r, func(w io.Writer) { sayVerified(w, r) }); err != nil {
		return err
	}
	if !r.OK {
		return errSilent
	}
	return nil
}

// stages returns what shows people how far it is, or nil when nobody looks.
func (p *program) stages() func(stage string, done, total int64) {
	if !telemetry.IsTerminal(p.stderr) {
		return nil
	}
	var bar *progressbar.ProgressBar
	var shown string
	return func(stage string, done, total int64) {
		if bar == nil || stage != shown {
			if bar != nil {
				_ = bar.Finish() // a bar that cannot be drawn stops nothing
			}
			bar, shown = p.bar(stage, total), stage
		}
		_ = bar.Set64(done)
	}
}

// sayVerified tells people what was found.
func sayVerified(w io.Writer, r verifier.Report) {
	say(w, "read %d events of %d tasks in %s, and compared %d rows, %d places in ledgers, %d fields of views, %d entries of their index",
		r.Events, r.Tasks, r.Took.Round(time.Millisecond), r.Compared.Rows, r.Compared.Ledgers, r.Compared.Views, r.Compared.Index)
	counts := newTable("", "count")
	for _, t := range events.Types {
		counts.AppendRow([]any{t, r.Types[t]})
	}
	if r.Undecodable > 0 {
		counts.AppendRow([]any{"no event", r.Undecodable})
	}
	say(w, "\n%s", counts.Render())
	reasons := newTable("reason", "count")
	for _, reason := range audit.Reasons() {
		if n := r.Reasons[reason]; n > 0 {
			reasons.AppendRow([]any{reason, n})
		}
	}
	if len(r.Reasons) > 0 {
		say(w, "\n%s", reasons.Render())
	}
	states := newTable("state", "tasks")
	for _, s := range events.States {
		if n := r.States[s]; n > 0 {
			states.AppendRow([]any{s, n})
		}
	}
	if r.Tasks > 0 {
		say(w, "\n%s", states.Render())
	}
	latency := newTable("latency, ms", "count", "p50", "p99", "max")
	latency.AppendRow([]any{"due after dueAt", r.Latency.Due.Count, r.Latency.Due.P50, r.Latency.Due.P99, r.Latency.Due.Max})
	latency.AppendRow([]any{"started after due", r.Latency.Start.Count, r.Latency.Start.P50, r.Latency.Start.P99, r.Latency.Start.Max})
	say(w, "\n%s", latency.Render())
	if r.OffBackoff > 0 {
		say(w, "\n%s not due when the backoff says: a handler may ask for that", many(r.OffBackoff, "retry was", "retries were"))
	}
	if n := r.Overtaken; n.Count > 0 {
		say(w, "\n%s due before one with a better place, which had waited for up to %d ms", many(n.Count, "task became", "tasks became"), n.MaxMs)
	}
	for _, note := range r.Notes {
		say(w, "\n%s", clean(note))
	}
	if len(r.NoExample) > 0 {
		say(w, "\nno example of")
		for _, what := range r.NoExample {
			say(w, "  %s", what)
		}
	}
	sayWrong(w, r)
}

func sayWrong(w io.Writer, r verifier.Report) {
	if r.OK {
		say(w, "\nok: no violation, no difference")
		return
	}
	if r.ViolationCount > 0 {
		say(w, "\n%s", many(r.ViolationCount, "violation", "violations"))
	}
	for _, v := range r.Violations {
		say(w, "  %s  %s  %s", v.Entry, clean(words(v.Invariant.String(), v.Task)), clean(v.Text))
	}
	if more := r.ViolationCount - int64(len(r.Violations)); more > 0 {
		say(w, "  and %d more", more)
	}
	if r.DifferenceCount > 0 {
		say(w, "\n%d differences", r.DifferenceCount)
	}
	for _, d := range r.Differences {
		say(w, "  %s  %s", clean(d.Key), clean(d.Text))
	}
	if more := r.DifferenceCount - int64(len(r.Differences)); more > 0 {
		say(w, "  and %d more", more)
	}
}
