package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
)

// tailOptions choose what tail shows.
type tailOptions struct {
	from   string
	task   string
	queue  string
	types  []string
	follow bool
}

const tailHelp = `Print events as they are appended, until Ctrl-C.

Without --from it begins with the ten newest ones of each partition that --queue and --type choose, as far as these
are among the newest 10 000 in Redis; with --task, with the first one of the task.
--from INSTANT begins there: at an entry id, at a time such as 2026-11-25T14:03:07Z, so long ago such as
-15m or -7d, or, with 0, at the beginning of the log. An entry that is no event is named on the standard
error.`

func (p *program) tailCmd() *cobra.Command {
	var o tailOptions
	cmd := p.withJSON(&cobra.Command{
		Use: "tail", Short: "Print events as they are appended", Long: tailHelp, Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.tail(cmd.Context(), o) },
	})
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", "", "where to begin: an entry id, a time, or so long ago")
	flags.StringVar(&o.task, "task", "", "only events of this task")
	flags.StringVar(&o.queue, "queue", "", "only events of this queue and its tasks")
	flags.StringSliceVar(&o.types, "type", nil, "only events of this type; several are separated by commas")
	flags.BoolVar(&o.follow, "follow", true, "go on at the end of the log; --follow=false ends there")
	return cmd
}

func (p *program) tail(ctx context.Context, o tailOptions) error {
	for _, t := range o.types {
		if !slices.Contains(events.Types, events.Type(t)) {
			return &usageError{fmt.Errorf("type %q: want one of %v", t, events.Types)}
		}
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	parts := log.Partitions()
	if o.task != "" {
		parts = []eventlog.Partition{log.Of(o.task)}
	}
	// Closing the connections ends the blocking reads, which a cancelled context does not.
	shut = sync.OnceFunc(shut)
	defer shut()
	defer context.AfterFunc(ctx, shut)()

	var from events.ID
	if o.from != "" {
		if from, err = instant(ctx, log, o.from); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		if from.Seq == events.MaxID.Seq {
			from.Seq = 0 // with all of that ms
		}
	}
	t := &tailer{program: p, log: log, opts: o, out: make(chan []eventlog.Entry)}
	for _, part := range parts {
		after, err := t.begin(ctx, part, from)
		if err != nil {
			return err
		}
		t.readers = append(t.readers, &reader{part: part, pages: log.Pages(tailPage), after: after})
	}
	if t.looked > 0 && t.found == 0 {
		p.warn(fmt.Errorf("none of the newest %d entries was chosen; --from 0 looks at all of the log", t.looked))
	}
	err = t.backlog(ctx)
	if err == nil && o.follow {
		err = t.follow(ctx)
	}
	if ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	return err
}

// tailer prints what readers read.
type tailer struct {
	*program
	log     *eventlog.Log
	opts    tailOptions
	readers []*reader
	looked  int // entries among which the newest ones were looked for
	found   int // of these that are to be shown
	out     chan []eventlog.Entry
}

// reader stands somewhere in a partition.
type reader struct {
	part  eventlog.Partition
	pages *eventlog.Pages
	after events.ID // what lies before, and this, was read
	page  []eventlog.Entry
}

const (
	tailPage   = 1000
	tailNewest = 10
	tailSearch = 10_000      // entries of a partition among which the newest ones are looked for
	tailPause  = time.Second // after a read that failed
)

// begin returns the id after which a partition is read.
func (t *tailer) begin(ctx context.Context, p eventlog.Partition, from events.ID) (events.ID, error) {
	if t.opts.from != "" {
		return from.Prev(), nil
	}
	if t.opts.task != "" {
		task, err := t.log.Task(ctx, t.opts.task)
		if err != nil || len(task.Events) == 0 {
			return events.ID{}, lost(err, t.opts.task)
		}
		history, err := t.log.History(ctx, task)
		if err != nil {
			return events.ID{}, err
		}
		t.warnGone(task.ID, len(task.Events)-len(history))
		return task.Events[0].Prev(), nil
	}
	return t.newest(ctx, p)
}

// newest returns the id after which the newest entries come that were chosen. When none of those that are looked at was,
// it is the end of the partition.
func (t *tailer) newest(ctx context.Context, p eventlog.Partition) (after events.ID, err error) {
	pages, found, looked := t.log.Pages(tailPage), 0, 0
	for before, more := events.MaxID, true; more && looked < tailSearch; {
		var page []eventlog.Entry
		if page, more, err = pages.RangeBack(ctx, p, before); err != nil {
			return after, err
		}
		for _, e := range page {
			before = e.ID
			if looked++; looked == 1 {
				after = e.ID
			}
			if !t.chosen(e) {
				continue
			}
			after = e.ID.Prev()
			if found++; found == tailNewest {
				more = false
				break
			}
		}
	}
	t.looked, t.found = t.looked+looked, t.found+found
	return after, nil
}

// chosen reports whether an entry is to be shown, or named because it is no event.
func (t *tailer) chosen(e eventlog.Entry) bool {
	switch {
	case e.Err != nil:
		return !t.filters()
	case t.opts.task != "" && e.Task != t.opts.task:
		return false
	case t.opts.queue != "" && e.Data.About().Queue != t.opts.queue:
		return false
	}
	return len(t.opts.types) == 0 || slices.Contains(t.opts.types, string(e.Data.Type()))
}

// filters reports whether only some events are to be shown.
func (t *tailer) filters() bool { return t.opts.queue != "" || len(t.opts.types) > 0 }

// backlog prints what is there, in the order of ids over all partitions.
func (t *tailer) backlog(ctx context.Context) error {
	open := slices.Clone(t.readers)
	for {
		for _, r := range open {
			if len(r.page) > 0 {
				continue
			}
			var err error
			if r.page, _, err = r.pages.Range(ctx, r.part, r.after, events.MaxID); err != nil {
				return err
			}
		}
		open = slices.DeleteFunc(open, func(r *reader) bool { return len(r.page) == 0 })
		if len(open) == 0 {
			return nil
		}
		next := slices.MinFunc(open, func(a, b *reader) int { return a.page[0].ID.Compare(b.page[0].ID) })
		e := next.page[0]
		next.page, next.after = next.page[1:], e.ID
		if err := t.show(e); err != nil {
			return err
		}
	}
}

// follow prints what comes, a partition's events in their order.
func (t *tailer) follow(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer stop()
	for _, r := range t.readers {
		readers.Go(func() { t.read(ctx, r) })
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case entries := <-t.out:
			for _, e := range entries {
				if err := t.show(e); err != nil {
					return err
				}
			}
		}
	}
}

// read follows a partition until ctx ends. While Redis is away it says so and goes on.
func (t *tailer) read(ctx context.Context, r *reader) {
	for ctx.Err() == nil {
		entries, _, err := r.pages.Follow(ctx, r.part, r.after, eventlog.MaxBlock)
		if err != nil {
			if ctx.Err() == nil {
				t.warn(fmt.Errorf("%w; trying again", err))
			}
			select {
			case <-ctx.Done():
			case <-time.After(tailPause):
			}
			continue
		}
		if len(entries) == 0 {
			continue
		}
		r.after = entries[len(entries)-1].ID
		select {
		case <-ctx.Done():
		case t.out <- entries:
		}
	}
}

func (t *tailer) show(e eventlog.Entry) error {
	if e.Err != nil {
		t.warn(fmt.Errorf("skipped an %w", e.Err))
		return nil
	}
	if !t.chosen(e) {
		return nil
	}
	v, err := wire.EventOf(e.Event)
	if err != nil {
		return err
	}
	return t.print(v, func(w io.Writer) {
		about := e.Data.About()
		line := fmt.Sprintf("%s  %s  %-18s  %s  %s", v.At, e.ID, v.Type, clean(words(about.Queue, about.Name, e.Task)), describe(e.Data))
		say(w, "%s", strings.TrimRight(line, " "))
	})
}
