package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tasklog/tasklog/infra/crashpoint"
)

// result is what a run did and found.
type result struct {
	plan
	verdict
	verified verified
	faults   map[string]int
	points   map[crashpoint.Point]int
	missing  []string // faults and crash points that did not happen
	alarms   []string // panics, races, services that do not end
	gaveUp   int      // services that ended with an error, and were started again
	spoiled  int      // undecodable entries in the log
	settled  time.Duration
	took     time.Duration
}

// undecodable is what verify calls the invariant that every entry is an event.
const undecodable = "known"

// shown is how many things that are wrong are printed.
const shown = 20

// ok reports whether the run proves what it is to prove.
func (r *result) ok() bool {
	return len(r.wrong) == 0 && len(r.missing) == 0 && len(r.alarms) == 0 && r.accepted > 0 && r.again > 0 &&
		r.verified.ok(int64(r.spoiled))
}

// ok reports whether nothing is wrong but the undecodable entries that were put there: verify counts each
// of them, and as a violation.
func (v verified) ok(spoiled int64) bool {
	return v.Events > 0 && v.Undecodable == spoiled && v.ViolationCount == spoiled && v.DifferenceCount == 0
}

// print writes the tables, and what is wrong.
func (r *result) print(w io.Writer) {
	injected := 0
	faults := newTable(w, "fault", "times")
	for _, name := range slices.Sorted(maps.Keys(r.faults)) {
		faults.AppendRow(table.Row{name, r.faults[name]})
		injected += r.faults[name]
	}
	for _, point := range crashpoint.Points {
		faults.AppendRow(table.Row{"kill -9 at " + string(point), r.points[point]})
		injected += r.points[point]
	}
	faults.Render()

	var reasons []string
	for _, why := range slices.Sorted(maps.Keys(r.because)) {
		reasons = append(reasons, fmt.Sprintf("%d %s", r.because[why], why))
	}
	t := newTable(w, fmt.Sprintf("seed %d, %s of faults", r.seed, r.length), "")
	for _, row := range []table.Row{
		{"faults injected", injected},
		{"tasks accepted", r.accepted},
		{"tasks refused", r.refused},
		{"answers that left it open (unknown)", r.unknown},
		{"tasks recovered (unknown, and there)", r.recovered},
		{"tasks lost", r.lost},
		{"tasks not final", r.unfinished},
		{"tasks completed twice in the log", r.twice},
		{"tasks against the rules of the log", r.illegal},
		{"tasks that nobody was told of", r.strangers},
		{"handler runs", r.runs},
		{"handler runs beyond one", r.again},
		{"  because the attempt before ended as", strings.Join(reasons, "\n")},
		{"  unexplained", r.unexplained},
		{"handler runs begun after their attempt's end", r.late},
		{"handler runs abandoned, and their worker was well", r.robbed},
		{"verify: events", r.verified.Events},
		{"verify: undecodable entries, of " + fmt.Sprint(r.spoiled) + " put there", r.verified.Undecodable},
		{"verify: other violations", r.verified.ViolationCount - r.verified.Undecodable},
		{"verify: differences", r.verified.DifferenceCount},
		{"services that gave up and were started again", r.gaveUp},
		{"all final, s after healing", fmt.Sprintf("%.1f", r.settled.Seconds())},
		{"all of it, s", fmt.Sprintf("%.0f", r.took.Seconds())},
	} {
		t.AppendRow(row)
	}
	t.Render()
	for _, list := range [][]string{prefixed("did not happen", r.missing), prefixed("alarm", r.alarms), prefixed("wrong", r.wrong), r.verified.list()} {
		for _, line := range list[:min(len(list), shown)] {
			_, _ = fmt.Fprintln(w, line)
		}
	}
	_, _ = fmt.Fprintln(w, cmp.Or(map[bool]string{true: "ok"}[r.ok()], "FAILED"))
}

// list tells what verify found.
func (v verified) list() (all []string) {
	for _, x := range v.Violations {
		if x.Invariant == undecodable {
			continue
		}
		all = append(all, fmt.Sprintf("violation: %s %s %s: %s", x.Invariant, x.Entry, x.Task, x.Text))
	}
	for _, x := range v.Differences {
		all = append(all, fmt.Sprintf("difference: %s: %s", x.Key, x.Text))
	}
	return all
}

func prefixed(with string, list []string) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = with + ": " + s
	}
	return all
}

func newTable(w io.Writer, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	t.AppendHeader(header)
	return t
}
