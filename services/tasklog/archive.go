package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/archiver"
)

const archiveHelp = `Write what is old enough of the log to files, in a folder or in a bucket (s3://, gs://, azblob://), and
let leave Redis what is there and nobody needs: as --retain-age, --retain-events and --retain-bytes say.
Without any of these nothing leaves Redis. docs/archive.md tells the format, and what it guarantees.

A segment is written when it is full or its day is over; with --all what is left is one, too.
--verify reads the whole archive, without Redis, and names what is damaged or missing: then it ends with 1.`

// archiveOptions are flags of the command that are no settings.
type archiveOptions struct {
	all, verify, without, acceptGap bool
	lag, watch                      time.Duration
}

func (p *program) archiveCmd() *cobra.Command {
	var o archiveOptions
	cmd := p.withJSON(serviceFlags(&cobra.Command{
		Use: "archive [URL]", Short: "Keep the log in files, and Redis small", Long: archiveHelp, Args: wants(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at := p.settings["TASKLOG_ARCHIVE"].value
			if len(args) == 1 {
				at = args[0]
			}
			return p.archive(cmd.Context(), at, o)
		},
	}))
	flags := cmd.Flags()
	flags.BoolVar(&o.all, "all", false, "archive what is no full segment yet, too")
	flags.DurationVar(&o.lag, "lag", time.Minute, "how old an entry must be: younger ones may be lost when a replica takes over")
	flags.DurationVar(&o.watch, "watch", 0, "run as a service, which begins anew so long after each turn (default once)")
	flags.BoolVar(&o.verify, "verify", false, "prove the archive instead, and write nothing")
	flags.BoolVar(&o.without, "without-archive", false, "let entries leave Redis that are in no archive: they are lost")
	flags.BoolVar(&o.acceptGap, "accept-gap", false, "go on although entries left Redis that are not in the archive: they are lost")
	setting(flags, "retain-age", "TASKLOG_RETAIN_AGE", "how old, at the most, events in Redis are (default any age)")
	setting(flags, "retain-bytes", "TASKLOG_RETAIN_BYTES", "bytes of Redis memory that the events of a partition take at the most (default any)")
	setting(flags, "retain-events", "TASKLOG_RETAIN_EVENTS", "how many events of a partition are in Redis at the most (default any number)")
	return cmd
}

func (p *program) archive(ctx context.Context, at string, o archiveOptions) error {
	switch {
	case o.without && (at != "" && p.settings["TASKLOG_ARCHIVE"].value != at || o.verify || o.watch != 0 || o.all):
		return &usageError{errors.New("--without-archive stands alone, with what is to leave Redis: --retain-age, --retain-events or --retain-bytes")}
	case !o.without && at == "":
		return &usageError{errors.New("archive: want a folder, or a URL such as s3://bucket")}
	case o.verify && o.watch != 0:
		return &usageError{errors.New("--verify and --watch exclude each other")}
	case o.watch < 0 || o.lag < 0:
		return &usageError{errors.New("--watch and --lag must not be below 0")}
	case o.without:
		return p.discard(ctx)
	case o.verify:
		return p.verifyArchive(ctx, at)
	case o.watch != 0:
		return p.serve(ctx, func(h *house) (service, error) { return h.archiver(ctx, at, o) })
	}
	cfg, err := p.archiverConfig(o)
	if err != nil {
		return err
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	a, err := p.openArchive(ctx, at, archive.Create)
	if err != nil {
		return err
	}
	defer a.Close() //nolint:errcheck // what counted was answered before
	parts, failed := archiver.Once(ctx, log, a, cfg)
	if err := p.print(parts, func(w io.Writer) { sayArchived(w, parts) }); err != nil {
		return err
	}
	return failed
}

// archiverConfig reads what an archiver is told.
func (p *program) archiverConfig(o archiveOptions) (archiver.Config, error) {
	cfg, err := load[archiver.Config](p.settings) // with its Retention
	if err != nil {
		return cfg, err
	}
	if err := cfg.Retention.Validate(); err != nil {
		return cfg, &usageError{err}
	}
	cfg.Every = cmp.Or(o.watch, cfg.Every)
	// A lag of zero would mean the default.
	cfg.Segment = archive.Config{Lag: max(o.lag, time.Nanosecond), All: o.all, AcceptGap: o.acceptGap}
	return cfg, nil
}

// openArchive opens the archive of the prefix that is set.
func (p *program) openArchive(ctx context.Context, at string, open func(ctx context.Context, at, prefix string) (*archive.Archive, error)) (*archive.Archive, error) {
	cfg, err := load[eventlog.Config](p.settings)
	if err != nil {
		return nil, err
	}
	a, err := open(ctx, at, cmp.Or(cfg.Prefix, "tasklog"))
	if err != nil {
		return nil, &usageError{err}
	}
	return a, nil
}

func (h *house) archiver(ctx context.Context, at string, o archiveOptions) (service, error) {
	cfg, err := h.archiverConfig(o)
	if err != nil {
		return service{}, err
	}
	a, err := h.openArchive(ctx, at, archive.Create)
	if err != nil {
		return service{}, err
	}
	s, err := archiver.New(h.log, a, cfg, h.of("archiver"), h.metrics)
	if err != nil {
		return service{}, errors.Join(&usageError{err}, a.Close())
	}
	return service{"archiver", func(ctx context.Context) error { return errors.Join(s.Run(ctx), a.Close()) }}, nil
}

// discard lets entries leave Redis without an archive.
func (p *program) discard(ctx context.Context) error {
	r, err := load[archive.Retention](p.settings)
	if err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return &usageError{err}
	}
	if r == (archive.Retention{}) {
		return &usageError{errors.New("--without-archive needs to know what is to leave Redis: --retain-age, --retain-events or --retain-bytes")}
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	var parts []archiver.Part
	for _, part := range log.Partitions() {
		t, err := archive.Discard(ctx, log, part, r)
		if err != nil {
			return err
		}
		parts = append(parts, archiver.Part{Partition: part.N, Trimmed: &t})
	}
	return p.print(parts, func(w io.Writer) {
		say(w, "what left Redis is lost: no replay, no history and no at can tell of it any more")
		sayTrimmed(w, parts)
	})
}

// verifyArchive proves an archive.
func (p *program) verifyArchive(ctx context.Context, at string) error {
	a, err := p.openArchive(ctx, at, archive.Open)
	if err != nil {
		return err
	}
	defer a.Close() //nolint:errcheck // it was only read
	partitions, err := a.Partitions(ctx)
	if err != nil {
		return err
	}
	reports, right := []archive.Report{}, true
	for _, n := range partitions {
		r, err := a.Verify(ctx, n)
		if err != nil {
			return err
		}
		reports, right = append(reports, r), right && r.OK()
	}
	if err := p.print(reports, func(w io.Writer) { sayVerifiedArchive(w, reports, right) }); err != nil {
		return err
	}
	if !right {
		return errSilent
	}
	return nil
}

func sayVerifiedArchive(w io.Writer, reports []archive.Report, right bool) {
	t := newTable("partition", "segments", "entries", "bytes", "first", "last")
	for _, r := range reports {
		t.AppendRow([]any{r.Partition, r.Segments, r.Entries, r.Bytes, r.First, r.Last})
	}
	say(w, "%s", t.Render())
	for _, r := range reports {
		for _, g := range r.Gaps {
			say(w, "\npartition %d: what was after %s and up to %s left Redis before it was archived", r.Partition, g.After, g.Until)
		}
		for _, s := range r.Strays {
			say(w, "\npartition %d: %s belongs to no segment", r.Partition, clean(s))
		}
		for _, wrong := range r.Wrong {
			say(w, "\n%s (entries %s to %s): %s", clean(wrong.Object), wrong.First, wrong.Last, clean(wrong.Why))
		}
	}
	if right {
		say(w, "\nok: nothing is damaged or missing")
	}
}

// sayArchived tells people what a turn did.
func sayArchived(w io.Writer, parts []archiver.Part) {
	var all archive.Written
	for _, p := range parts {
		all.Add(p.Written)
	}
	say(w, "archived %s in %s", many(all.Entries, "entry", "entries"), many(all.Segments, "segment", "segments"))
	if all.Compressed > 0 {
		say(w, "%s are %s (%.1f times smaller), and %s as Parquet", size(all.Bytes), size(all.Compressed),
			float64(all.Bytes)/float64(all.Compressed), size(all.Tables))
	}
	sayTrimmed(w, parts)
}

func sayTrimmed(w io.Writer, parts []archiver.Part) {
	for _, p := range parts {
		t := p.Trimmed
		if t == nil {
			continue
		}
		if t.Entries > 0 {
			say(w, "partition %d: %s left Redis, up to %s", p.Partition, many(t.Entries, "entry", "entries"), t.Upto)
		}
		if t.Held != "" {
			say(w, "partition %d: what comes after %s stays in Redis, for %s needs it", p.Partition, t.HeldAt, clean(t.Held))
		}
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
