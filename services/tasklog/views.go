package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/wire"
	"github.com/tasklog/tasklog/services/view"
)

const viewsHelp = `Show every view, and how far it is behind the log: those that every log has, which a projector
keeps, and your own, which a program of yours keeps (docs/views.md).

A view of your own that nobody keeps any more holds the log: nothing is trimmed that it has not read.
"tasklog views remove NAME" removes it with everything that it has in Redis.`

func (p *program) viewsCmd() *cobra.Command {
	cmd := p.withJSON(&cobra.Command{
		Use: "views", Short: "Show every view and how far it is behind the log", Long: viewsHelp, Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.views(cmd.Context()) },
	})
	var version int
	remove := p.withJSON(&cobra.Command{
		Use: "remove NAME", Short: "Remove a view of your own that no program keeps", Args: wants(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := noZero(cmd.Flags(), "version"); err != nil {
				return err
			}
			return p.removeView(cmd.Context(), args[0], version)
		},
	})
	remove.Flags().IntVar(&version, "version", 0, "remove only this version, which was begun and will not be finished")
	cmd.AddCommand(remove)
	return cmd
}

// viewLine is a view as programs read it.
type viewLine struct {
	Name        string   `json:"name"`
	Version     int      `json:"version"`
	Own         bool     `json:"own"`
	Served      bool     `json:"served"`         // false: it is being made, to be served when it has caught up
	AsOf        string   `json:"asOf,omitempty"` // time of the newest event in it
	Behind      int64    `json:"behind"`         // entries of the log that are not in it yet
	Skipped     int64    `json:"skipped"`        // entries that are no events
	Missed      int64    `json:"missed"`         // entries that were trimmed before they were read
	Checkpoints []string `json:"checkpoints"`    // by partition
}

func (p *program) views(ctx context.Context) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	lines, err := builtIn(ctx, log)
	if err != nil {
		return err
	}
	infos, err := view.New(log, slog.Default()).List(ctx)
	if err != nil {
		return err
	}
	for _, i := range infos {
		line := viewLine{
			Name: i.Name, Version: i.Version, Own: true, Served: i.Served,
			Behind: i.Behind, Skipped: i.Skipped, Missed: i.Missed, Checkpoints: ids(i.Checkpoints),
		}
		if !i.Newest.IsZero() {
			line.AsOf = wire.Stamp(i.Newest.UnixMilli())
		}
		lines = append(lines, line)
	}
	return p.print(struct {
		Views []viewLine `json:"views"`
	}{lines}, func(w io.Writer) { sayViews(w, lines) })
}

// builtIn returns the views that every log has. They stand at one checkpoint.
func builtIn(ctx context.Context, log *eventlog.Log) ([]viewLine, error) {
	store := views.New(log)
	lags, err := store.Lag(ctx)
	if err != nil {
		return nil, err
	}
	of := viewLine{Served: true}
	var checkpoints []events.ID
	var newest int64
	for i, part := range log.Partitions() {
		h, err := store.Head(ctx, part)
		if err != nil && !errors.Is(err, views.ErrUnusable) {
			return nil, err
		}
		of.Served = of.Served && err == nil
		of.Behind += lags[i].Entries
		of.Skipped += h.Skipped
		of.Missed += h.Missed
		checkpoints = append(checkpoints, h.Checkpoint)
		newest = max(newest, h.Checkpoint.Ms)
	}
	of.Checkpoints = ids(checkpoints)
	if newest > 0 {
		of.AsOf = wire.Stamp(newest)
	}
	var lines []viewLine
	for _, v := range views.BuiltIn() {
		line := of
		line.Name, line.Version = v.Name(), v.Version()
		lines = append(lines, line)
	}
	return lines, nil
}

// earliest is the checkpoint of the partition that is furthest behind.
func (l viewLine) earliest() string {
	if len(l.Checkpoints) == 0 {
		return ""
	}
	return slices.MinFunc(l.Checkpoints, func(a, b string) int {
		x, _ := events.ParseID(a) // ids wrote them
		y, _ := events.ParseID(b)
		return x.Compare(y)
	})
}

func ids(list []events.ID) []string {
	out := make([]string, len(list))
	for i, id := range list {
		out[i] = id.String()
	}
	return out
}

func sayViews(w io.Writer, lines []viewLine) {
	t := newTable("view", "version", "checkpoint", "as of", "behind", "missed", "")
	for _, l := range lines {
		note := ""
		switch {
		case !l.Served:
			note = "being made"
		case l.Own:
			note = "own"
		}
		t.AppendRow([]any{clean(l.Name), strconv.Itoa(l.Version), l.earliest(), l.AsOf, l.Behind, l.Missed, note})
	}
	say(w, "%s", t.Render())
}

func (p *program) removeView(ctx context.Context, name string, version int) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	store := view.New(log, slog.Default())
	if version == 0 {
		err = store.Remove(ctx, name)
	} else {
		err = store.RemoveVersion(ctx, name, version)
	}
	if err != nil {
		return err
	}
	return p.print(struct {
		Removed string `json:"removed"`
		Version int    `json:"version,omitempty"`
	}{name, version}, func(w io.Writer) {
		if version == 0 {
			say(w, "removed view %s", name)
		} else {
			say(w, "removed version %d of view %s", version, name)
		}
	})
}
