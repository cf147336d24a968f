package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/rebuilder"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/verifier"
)

const replayStateHelp = `

With --state it makes the state of tasks again that decisions are taken by: rows, delayed and waiting tasks, dispatch
streams, leases. Services may run meanwhile: what they ask for is refused until it is there, running attempts go on
and end. One that was killed leaves decisions refused: run it again. --dry-run compares only, and ends with 1 where
something differs.`

// stateFlags are those of replay --state.
type stateFlags struct{ state, dry, lossy bool }

// withState adds replay --state to the command that makes views anew.
func (p *program) withState(cmd *cobra.Command) *cobra.Command {
	var f stateFlags
	flags := cmd.Flags()
	flags.BoolVar(&f.state, "state", false, "make the state of tasks again, and not the views")
	flags.BoolVar(&f.dry, "dry-run", false, "with --state: say what differs from the log, and change nothing")
	flags.BoolVar(&f.lossy, "lossy", false, "with --state: allow a log whose beginning is gone; rows of tasks that began there are kept")
	setting(flags, "lease-ttl", "TASKLOG_LEASE_TTL", "with --state: how long an attempt lives without a heartbeat; as the workers have it")
	cmd.Long += replayStateHelp
	views := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case !f.state && (f.dry || f.lossy):
			return &usageError{errors.New("--dry-run and --lossy go with --state")}
		case !f.state:
			return views(cmd, args)
		case f.dry:
			return p.compareState(cmd.Context())
		}
		return p.replayState(cmd.Context(), f.lossy)
	}
	return cmd
}

func (p *program) replayState(ctx context.Context, lossy bool) error {
	terms, err := load[scheduler.Config](p.settings)
	if err != nil {
		return err
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	ttl := terms.LeaseTTL
	if ttl == 0 {
		ttl = scheduler.DefaultConfig().LeaseTTL
	}
	if p.settings["GOGC"] == "" {
		debug.SetGCPercent(100) // unlike a service it keeps much alive, of which main would allow five times as much
	}
	sum, err := rebuilder.Run(ctx, log, rebuilder.Config{LeaseTTL: ttl, Lossy: lossy, Progress: p.progress()})
	if trimmed := new(rebuilder.ErrTrimmed); errors.As(err, &trimmed) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w\nDecisions may be refused until this ends well: run it again", err)
	}
	out := struct {
		Partitions int                    `json:"partitions"`
		Entries    int64                  `json:"entries"` // read
		Skipped    int64                  `json:"skipped"` // of these, no events
		Illegal    int64                  `json:"illegal"` // of these, events that no task could take
		Older      int64                  `json:"older"`   // of these, events of tasks whose rows were kept
		Tasks      map[events.State]int64 `json:"tasks"`   // by state
		TookMs     int64                  `json:"tookMs"`
	}{sum.Partitions, sum.Entries, sum.Skipped, sum.Illegal, sum.Older, sum.Tasks, sum.Took.Milliseconds()}
	return p.print(out, func(w io.Writer) {
		say(w, "made the state again from %d entries in %s", sum.Entries, sum.Took.Round(time.Millisecond))
		states := newTable("state", "tasks")
		for _, s := range events.States {
			if n := sum.Tasks[s]; n > 0 {
				states.AppendRow([]any{s, n})
			}
		}
		if len(sum.Tasks) > 0 {
			say(w, "%s", states.Render())
		}
		if sum.Skipped > 0 {
			say(w, "%d entries are no events and were skipped", sum.Skipped)
		}
		if sum.Older > 0 {
			say(w, "%d events are of tasks whose rows were kept", sum.Older)
		}
		if sum.Illegal > 0 {
			say(w, "%d events follow from nothing and were skipped, such as", sum.Illegal)
			for _, why := range sum.Told {
				say(w, "  %s", clean(why))
			}
		}
	})
}

// maxCompared is how many differences are held at once.
const maxCompared = 100_000

// compareState says where the state differs from what the log says.
func (p *program) compareState(ctx context.Context) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	r, err := verifier.Run(ctx, log, verifier.Config{Limit: maxCompared, Undecodable: true, MaxPayload: 1 << 30, Progress: p.stages()})
	if err != nil {
		return err
	}
	differences := []verifier.Difference{}
	for _, d := range r.Differences {
		if !strings.Contains(d.Key, "}:view:") {
			differences = append(differences, d)
		}
	}
	out := struct {
		Rows        int64                 `json:"rows"`        // compared
		Ledgers     int64                 `json:"ledgers"`     // places in them, compared
		Differences []verifier.Difference `json:"differences"` // the first hundred thousand
	}{r.Compared.Rows, r.Compared.Ledgers, differences}
	err = p.print(out, func(w io.Writer) {
		say(w, "compared %d rows and %d places in ledgers with %d events", out.Rows, out.Ledgers, r.Events)
		for i, d := range differences {
			if i == 20 {
				say(w, "  and %d more", len(differences)-i)
				break
			}
			say(w, "  %s  %s", clean(d.Key), clean(d.Text))
		}
		if len(differences) == 0 {
			say(w, "nothing differs")
		}
	})
	if err == nil && len(differences) > 0 {
		return errSilent
	}
	return err
}
