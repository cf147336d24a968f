package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// us is the name of Tasklog's side.
const us = "tasklog"

func titled(name string) figure {
	return known[slices.IndexFunc(known, func(f figure) bool { return f.name == name })]
}

// tabulate shows each figure as its median, and the best in parentheses.
func tabulate(lines []line) table.Writer {
	out := table.NewWriter()
	header := table.Row{"", ""}
	for _, f := range known {
		if !f.note {
			header = append(header, f.title)
		}
	}
	out.AppendHeader(append(header, "× Tasklog's tasks/s", ""))
	ours := map[string]float64{}
	for _, l := range lines {
		if l.Side == us {
			ours[l.Name] = l.Median["tasksPerSec"]
		}
		cells, notes := table.Row{l.Name, l.Side}, []string{}
		for _, f := range known {
			v, ok := l.Median[f.name]
			switch {
			case !ok && !f.note:
				cells = append(cells, "")
			case !ok:
			case f.note:
				notes = append(notes, fmt.Sprintf(f.format+" %s", v, f.title))
			default:
				cells = append(cells, fmt.Sprintf(f.format+" ("+f.format+")", v, l.Best[f.name]))
			}
		}
		ratio := ""
		if rate := l.Median["tasksPerSec"]; l.Side != us && rate > 0 && ours[l.Name] > 0 {
			ratio = fmt.Sprintf("%.2f", rate/ours[l.Name])
		}
		out.AppendRow(append(cells, ratio, strings.Join(notes, "; ")))
	}
	return out
}

// writeInto replaces what stands in a page between <!-- measured: NAME --> and <!-- end -->.
func writeInto(path, name, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	begin, end := "<!-- measured: "+name+" -->\n", "<!-- end -->"
	head, rest, found := strings.Cut(string(page), begin)
	_, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s: want the lines %q and %q", path, begin, end)
	}
	return os.WriteFile(path, []byte(head+begin+strings.TrimSpace(text)+"\n"+end+tail), 0o644) //nolint:gosec // a page is read by all
}
