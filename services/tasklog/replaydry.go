package main

import (
	"context"
	"io"
	"strings"

	"github.com/tasklog/tasklog/services/verifier"
)

// maxCompared is how many differences are held at once.
const maxCompared = 100_000

// compareViews says where the views differ from what the log gives, or one of them.
func (p *program) compareViews(ctx context.Context, only string) error {
	return p.compare(ctx, verifier.Config{Views: true}, func(key string) bool {
		_, view, found := strings.Cut(key, "}:view:")
		return found && (only == "" || view == only || view == "head")
	})
}

// compare says where what is kept beside the log differs from it, as to the keys that are chosen.
func (p *program) compare(ctx context.Context, cfg verifier.Config, chosen func(key string) bool) error {
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	cfg.Limit, cfg.Undecodable, cfg.MaxPayload, cfg.Progress = maxCompared, true, 1<<30, p.stages()
	p.collectOften()
	r, err := verifier.Run(ctx, log, cfg)
	if err != nil {
		return err
	}
	differences := []verifier.Difference{}
	for _, d := range r.Differences {
		if chosen(d.Key) {
			differences = append(differences, d)
		}
	}
	uncompared := cfg.Views && r.Compared.Views == 0 && len(r.Notes) > 0 // they say why
	good := len(differences) == 0 && !uncompared
	out := struct {
		verifier.Compared
		Differences []verifier.Difference `json:"differences"` // the first hundred thousand
		Notes       []string              `json:"notes"`
	}{r.Compared, differences, r.Notes}
	err = p.print(out, func(w io.Writer) {
		if cfg.Views {
			say(w, "compared %d fields of views and %d entries of their index with %d events", out.Views, out.Index, r.Events)
		} else {
			say(w, "compared %d rows and %d places in ledgers with %d events", out.Rows, out.Ledgers, r.Events)
		}
		sayDifferences(w, differences, len(differences))
		if cfg.Views {
			for _, note := range r.Notes {
				say(w, "%s", clean(note))
			}
		}
		if good {
			say(w, "nothing differs")
		}
	})
	if err == nil && !good {
		return errSilent
	}
	return err
}
