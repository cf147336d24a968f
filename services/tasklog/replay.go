package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/infra/telemetry"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/verifier"
)

const replayHelp = `Make every view anew from the log: queues, tasks by state, throughput, workers. Services may run
meanwhile: the old views stay until the new ones, made beside them, take their place in one step. What differed is
told. One that was killed changed nothing, or all: run it again.

With --only it is one view that takes its place, where all of them stand in the log; the others are not touched.
That is refused where the log has lost entries that the others count. With --dry-run nothing is changed: the views
and the index of tasks are compared with the log, and it ends with 1 where something differs. With --until nothing
is changed, and the views are printed as they were at an instant; --json has all of their fields.

` + instantHelp + `

With --state it makes the state of tasks again that decisions are taken by: rows, delayed and waiting tasks, dispatch
streams, leases. Services may run meanwhile: what they ask for is refused until it is there, running attempts go on
and end. One that was killed leaves decisions refused: run it again. --dry-run compares only, and ends with 1 where
something differs.`

// replayFlags are those of replay.
type replayFlags struct {
	state, dry, lossy bool
	only, until       string
}

// check says which flags do not go together.
func (f replayFlags) check() error {
	switch {
	case f.state && (f.only != "" || f.until != ""):
		return errors.New("--only and --until are for views: they do not go with --state")
	case f.lossy && !f.state:
		return errors.New("--lossy goes with --state")
	case f.dry && f.until != "":
		return errors.New("--until changes nothing: it does not go with --dry-run")
	case f.only != "" && !slices.Contains(views.Views(), f.only):
		return fmt.Errorf("--only %q: want one of %s", f.only, strings.Join(views.Views(), ", "))
	}
	return nil
}

func (p *program) replayCmd() *cobra.Command {
	var f replayFlags
	cmd := p.withJSON(&cobra.Command{
		Use: "replay", Short: "Make every view anew from the log", Args: wants(0, 0), Long: replayHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return &usageError{err}
			}
			switch {
			case f.state && f.dry:
				return p.compare(cmd.Context(), verifier.Config{}, func(key string) bool { return !strings.Contains(key, "}:view:") })
			case f.state:
				return p.replayState(cmd.Context(), f.lossy)
			case f.dry:
				return p.compareViews(cmd.Context(), f.only)
			case f.until != "":
				return p.viewsAt(cmd.Context(), f)
			}
			return p.replay(cmd.Context(), f.only)
		},
	})
	flags := cmd.Flags()
	flags.BoolVar(&f.dry, "dry-run", false, "say what differs from the log, and change nothing")
	flags.StringVar(&f.only, "only", "", "make this view alone: "+strings.Join(views.Views(), ", "))
	flags.StringVar(&f.until, "until", "", "print the views as of this instant, and change nothing")
	flags.BoolVar(&f.state, "state", false, "make the state of tasks again, and not the views")
	flags.BoolVar(&f.lossy, "lossy", false, "with --state: allow a log whose beginning is gone; rows of tasks that began there are kept")
	setting(flags, "lease-ttl", "TASKLOG_LEASE_TTL", "with --state: how long an attempt lives without a heartbeat; as the workers have it")
	return cmd
}

// differed is how a view was not as the log gives it.
type differed struct {
	Changed int `json:"changed"`
	Added   int `json:"added"` // fields that were missing
	Gone    int `json:"gone"`  // fields that the log does not give
}

// maxNamed is how many differences are named.
const maxNamed = 20

func (p *program) replay(ctx context.Context, only string) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	sum, err := projector.Rebuild(ctx, log, projector.Options{Only: only, Progress: p.progress()})
	if err != nil {
		return err
	}
	out := struct {
		Partitions  int                   `json:"partitions"`
		Entries     int64                 `json:"entries"` // read
		Skipped     int64                 `json:"skipped"` // of these, no events
		Missed      int64                 `json:"missed"`  // entries that were trimmed before
		TookMs      int64                 `json:"tookMs"`
		Differed    map[string]*differed  `json:"differed"`    // by view
		Differences []verifier.Difference `json:"differences"` // the first ones
		Notes       []string              `json:"notes"`       // what could not be compared, and why
	}{
		sum.Partitions, sum.Entries, sum.Skipped, sum.Missed, sum.Took.Milliseconds(),
		map[string]*differed{},
		[]verifier.Difference{},
		append([]string{}, sum.Notes...),
	}
	for _, d := range sum.Differences {
		n := out.Differed[d.View]
		if n == nil {
			n = new(differed)
			out.Differed[d.View] = n
		}
		switch {
		case d.Stored == "":
			n.Added++
		case d.Log == "":
			n.Gone++
		default:
			n.Changed++
		}
		if len(out.Differences) < maxNamed {
			out.Differences = append(out.Differences, verifier.Difference{Key: log.Partitions()[d.Partition].View(d.View), Text: d.String()})
		}
	}
	return p.print(out, func(w io.Writer) {
		say(w, "replayed %s in %s, %.0f a second", many(out.Entries, "entry", "entries"), sum.Took.Round(time.Millisecond), float64(out.Entries)/sum.Took.Seconds())
		if out.Skipped > 0 {
			say(w, "%s skipped", many(out.Skipped, "of them is no event and was", "of them are no events and were"))
		}
		if out.Missed > 0 {
			say(w, "%s trimmed from the log before: the views count what is left of it", many(out.Missed, "entry was", "entries were"))
		}
		for _, view := range slices.Sorted(maps.Keys(out.Differed)) {
			n := out.Differed[view]
			say(w, "%s: %d fields changed, %d were missing, %d were there for nothing", view, n.Changed, n.Added, n.Gone)
		}
		sayDifferences(w, out.Differences, len(sum.Differences))
		for _, note := range out.Notes {
			say(w, "%s", clean(note))
		}
		if len(sum.Differences) == 0 && len(out.Notes) == 0 {
			say(w, "the old views were the same")
		}
	})
}

// sayDifferences names the first of so many differences.
func sayDifferences(w io.Writer, list []verifier.Difference, all int) {
	for _, d := range list[:min(len(list), maxNamed)] {
		say(w, "  %s  %s", clean(d.Key), clean(d.Text))
	}
	if all > maxNamed {
		say(w, "  and %d more", all-maxNamed)
	}
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
