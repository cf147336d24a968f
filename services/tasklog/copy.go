package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
	"github.com/tasklog/tasklog/services/copier"
	"github.com/tasklog/tasklog/services/projector"
	"github.com/tasklog/tasklog/services/rebuilder"
	"github.com/tasklog/tasklog/services/scheduler"
)

const copyHelp = `Copy the log into another prefix or another Redis, with another number of partitions if you like: the way to
move, and to have more or fewer partitions. Every entry is read back and compared.

Without --move and --clone the copy stays shut, while services go on with this log: run it again, and it takes what
came since. --move then shuts this log, takes the last entries, and opens the copy instead: start the services there. It is
refused while attempts run, so stop the workers before. --clone opens the copy and leaves this log as it is: tasks that
are not over will run in both. Whatever stops it, run it again; docs/copy.md tells what to do at three in the morning.`

// copyOptions are flags of the command that are no settings.
type copyOptions struct {
	to, prefix                                  string
	partitions                                  int
	move, clone, running, verify, reopen, force bool
}

func (p *program) copyCmd() *cobra.Command {
	var o copyOptions
	cmd := p.withJSON(&cobra.Command{
		Use: "copy", Short: "Copy the log elsewhere, or move it", Long: copyHelp, Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := noZero(cmd.Flags(), "partitions"); err != nil {
				return err
			}
			if o.reopen {
				return p.reopen(cmd.Context(), o)
			}
			return p.copy(cmd.Context(), o)
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&o.to, "to", "", "where to: a prefix in the same Redis, or the URL of another one")
	flags.StringVar(&o.prefix, "to-prefix", "", "prefix in the other Redis (default as here)")
	flags.IntVar(&o.partitions, "partitions", 0, "streams of the copy (default as many as here)")
	flags.BoolVar(&o.move, "move", false, "shut this log at the end and open the copy instead")
	flags.BoolVar(&o.clone, "clone", false, "open the copy, and go on here too: for trying things out")
	flags.BoolVar(&o.running, "running", false, "with --move: although attempts run; they are tried again in the copy")
	flags.BoolVar(&o.verify, "verify", false, "compare what was copied in earlier runs once more")
	flags.BoolVar(&o.reopen, "reopen", false, "open this log again that a move shut, and copy nothing")
	flags.BoolVar(&o.force, "force", false, "with --reopen: although the log was moved, and work went on there")
	setting(flags, "lease-ttl", "TASKLOG_LEASE_TTL", "how long an attempt lives without a heartbeat; as the workers have it")
	return cmd
}

// check refuses flags that do not go together.
func (o copyOptions) check() error {
	isURL := strings.Contains(o.to, "://")
	switch {
	case o.reopen && (o.to != "" || o.move || o.clone):
		return &usageError{errors.New("--reopen stands alone, perhaps with --force")}
	case o.force && !o.reopen:
		return &usageError{errors.New("--force goes with --reopen")}
	case o.reopen:
		return nil
	case o.to == "":
		return &usageError{errors.New("copy: want --to, a prefix in the same Redis or the URL of another one")}
	case o.prefix != "" && !isURL:
		return &usageError{errors.New("--to-prefix goes with --to and a URL")}
	case o.move && o.clone:
		return &usageError{errors.New("--move and --clone exclude each other")}
	case o.running && !o.move:
		return &usageError{errors.New("--running goes with --move")}
	}
	return nil
}

func (p *program) reopen(ctx context.Context, o copyOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	n, err := copier.Reopen(ctx, log, o.force)
	if err != nil {
		return err
	}
	out := struct {
		Opened int `json:"opened"` // partitions that were shut
	}{n}
	return p.print(out, func(w io.Writer) {
		say(w, "%s open again", many(n, "partition was shut, and is", "partitions were shut, and are"))
	})
}

func (p *program) copy(ctx context.Context, o copyOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	terms, err := load[scheduler.Config](p.settings)
	if err != nil {
		return err
	}
	own, err := load[config](p.settings)
	if err != nil {
		return err
	}
	source, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	at, prefix := redisURL(own.withDefaults()), o.to
	from, to := place(at, source.Prefix()), "prefix "+prefix // the same wherever this Redis listens
	if strings.Contains(o.to, "://") {
		at, prefix = o.to, cmp.Or(o.prefix, source.Prefix())
		to = place(at, prefix)
	}
	target, shutTarget, err := p.openTarget(ctx, at, prefix, o.partitions, source)
	if err != nil {
		return err
	}
	defer shutTarget()
	p.collectOften()
	bar := p.stages()
	tell := func(stage string) func(done, total int64) {
		if bar == nil {
			return nil
		}
		return func(done, total int64) { bar(stage, done, total) }
	}
	cfg := copier.Config{
		Source: from, Target: to, Running: o.running, Again: o.verify, Progress: tell("copying"),
		State: stateOf(target, cmp.Or(terms.LeaseTTL, scheduler.DefaultConfig().LeaseTTL), tell("making the state")),
		Views: func(ctx context.Context) error {
			_, err := projector.Rebuild(ctx, target, projector.Options{Progress: tell("making views")})
			return err
		},
	}
	switch {
	case o.move:
		cfg.Mode = copier.Move
	case o.clone:
		cfg.Mode = copier.Clone
	}
	sum, err := copier.Run(ctx, source, target, cfg)
	if err != nil {
		return err
	}
	return p.sayCopied(sum, cfg, len(target.Partitions()))
}

// stateOf returns what makes the state of a partition of a copy, and tells show, if there is one, how far all
// of them are.
func stateOf(log *eventlog.Log, ttl time.Duration, show func(done, total int64)) func(context.Context, eventlog.Partition, string) error {
	var mu sync.Mutex
	var done, total int64
	return func(ctx context.Context, p eventlog.Partition, gate string) error {
		cfg := rebuilder.Config{LeaseTTL: ttl, Shut: true}
		if show != nil {
			n, err := log.Len(ctx, p)
			if err != nil {
				return err
			}
			mu.Lock()
			total += n
			mu.Unlock()
			cfg.Progress = func(read, _ int64) {
				mu.Lock()
				defer mu.Unlock()
				done += read
				show(done, total)
			}
		}
		_, err := rebuilder.Partition(ctx, log, p, gate, cfg)
		return err
	}
}

// place names a log to people.
func place(at, prefix string) string {
	u, err := url.Parse(at)
	if err != nil {
		return prefix
	}
	u.User, u.RawQuery = nil, ""
	return u.String() + ", prefix " + prefix
}

// openTarget opens the log that is copied to. Without a number it has as many partitions as it was begun with,
// or as the source.
func (p *program) openTarget(ctx context.Context, at, prefix string, partitions int, source *eventlog.Log) (*eventlog.Log, func(), error) {
	cfg := eventlog.Config{Prefix: prefix, Partitions: cmp.Or(partitions, len(source.Partitions())), Retention: source.Retention()}
	conn, err := connect(at)
	if err != nil {
		return nil, nil, err
	}
	shut := func() { _ = conn.Close() } // what counted was answered before
	if err := conn.Ping(ctx); err != nil {
		shut()
		return nil, nil, &unreachableError{redacted(at), err}
	}
	log, err := eventlog.Open(ctx, conn, cfg)
	if _, other := errors.AsType[*eventlog.ErrPartitions](err); other && partitions == 0 {
		cfg.Partitions = 0
		log, err = eventlog.Open(ctx, conn, cfg)
	}
	if err != nil {
		shut()
		return nil, nil, err
	}
	return log, shut, nil
}

// sayCopied tells what a run did.
func (p *program) sayCopied(sum copier.Summary, cfg copier.Config, partitions int) error {
	out := struct {
		Copied     int64      `json:"copied"`         // entries, in this run
		Compared   int64      `json:"compared"`       // entries that were read back, in this run
		Entries    int64      `json:"entries"`        // that the copy has
		Partitions int        `json:"partitions"`     // of the copy
		Renumbered int64      `json:"renumbered"`     // of the compared entries, those that got another id
		UpTo       *time.Time `json:"upTo,omitempty"` // all that was there before is in the copy; absent: all is
		Behind     int64      `json:"behind"`         // entries that this log has by now and the copy has not
		Running    int64      `json:"running"`        // attempts that ran here
		Opened     bool       `json:"opened"`         // the copy is open
		TookMs     int64      `json:"tookMs"`
	}{sum.Copied, sum.Compared, sum.Entries, partitions, sum.Moved, nil, sum.Behind, sum.Running, sum.Opened, sum.Took.Milliseconds()}
	if !sum.UpTo.IsZero() {
		out.UpTo = new(sum.UpTo.UTC())
	}
	return p.print(out, func(w io.Writer) {
		say(w, "copied %s and compared %d in %s: the copy has %d, in %s", many(sum.Copied, "entry", "entries"),
			sum.Compared, sum.Took.Round(time.Millisecond), sum.Entries, many(partitions, "partition", "partitions"))
		if sum.Moved > 0 {
			say(w, "%d of them got the next id of the same millisecond: the one before has theirs", sum.Moved)
		}
		switch cfg.Mode {
		case copier.Move:
			say(w, "moved to %s: start the services there; this log stays shut", cfg.Target)
			if sum.Running > 0 {
				say(w, "%s tried again", many(sum.Running, "attempt ran here: it ends as abandoned there and is", "attempts ran here: they end as abandoned there and are"))
			}
		case copier.Clone:
			say(w, "opened %s as of %s; this log goes on too", cfg.Target, wire.Stamp(sum.UpTo.UnixMilli()))
			say(w, "tasks that are not over will run in both, and so will the %s now", many(sum.Running, "attempt that runs", "attempts that run"))
		case copier.Follow:
			say(w, "it has all that was here before %s, and stays shut: run the same again, or with --move at the end", wire.Stamp(sum.UpTo.UnixMilli()))
			if sum.Behind > 0 {
				say(w, "this log went on: it has %s more by now", many(sum.Behind, "entry", "entries"))
			}
		}
	})
}
