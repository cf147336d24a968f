package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// A goal says what the median of a figure must be: at least, or at the most, so much, or so many times what a peer
// has in the same run.
type goal struct {
	row, figure string
	atLeast     bool
	than        string // a peer; empty: the limit is absolute
	limit       float64
}

func most(row, figure string, limit float64) goal { return goal{row, figure, false, "", limit} }

func atLeast(row, figure string, limit float64) goal { return goal{row, figure, true, "", limit} }

func faster(row, than string, times float64) goal {
	return goal{row, "tasksPerSec", true, than, times}
}

// sooner says that Tasklog takes no longer than a peer.
func sooner(row, than, figure string) goal { return goal{row, figure, false, than, 1} }

// goals are what we want to be, by the kinds of rows.
var goals = []goal{
	faster("enqueue", "bullmq", 1.5), faster("enqueue", "asynq", 1), most("enqueue", "redisMicros", 10),
	faster("bulk", "bullmq", 3), most("bulk", "redisMicros", 7),
	faster("drain", "bullmq", 1.5), most("drain", "redisMicros", 22),
	faster("tasks", "bullmq", 2.5), most("tasks", "redisMicros", 30),
	faster("aof", "bullmq", 2.5),
	sooner("immediate", "bullmq", "p50Ms"), sooner("immediate", "bullmq", "p99Ms"),
	most("delayed", "p50Ms", 2), most("delayed", "p99Ms", 5), atLeast("delayed", "earliestMs", 0),
	most("waiting", "bytes", 650), most("kept", "bytes", 1000),
	atLeast("http", "tasksPerSec", 12_000),
	most("idle", "commandsPerSec", 10), most("idle", "redisPercent", 1), most("idle", "clientPercent", 1),
	atLeast("deep", "ratio", 0.9),
	most("due", "longestScriptMs", 5), most("due", "lost", 0), most("due", "outOfOrder", 0),
}

// judge lists the goals for which there are figures, and what was reached.
func judge(rows []row, lines []line) table.Writer {
	names := map[string]string{}
	for _, r := range rows {
		names[r.kind] = r.name
	}
	find := func(kind, side, figure string) (float64, bool) {
		for _, l := range lines {
			if l.Name == names[kind] && l.Side == side {
				v, ok := l.Median[figure]
				return v, ok
			}
		}
		return 0, false
	}
	out := table.NewWriter()
	out.AppendHeader(table.Row{"goal", "", "reached", ""})
	for _, g := range goals {
		v, ok := find(g.row, us, g.figure)
		limit := g.limit
		if g.than != "" {
			other, measured := find(g.row, g.than, g.figure)
			ok = ok && measured && other != 0
			v /= other
		}
		if !ok {
			continue
		}
		met := "yes"
		if g.atLeast && v < limit || !g.atLeast && v > limit {
			met = "no"
		}
		f := titled(g.figure)
		want, reached := fmt.Sprintf("%s ≤ %g", f.title, limit), fmt.Sprintf(f.format, v)
		if g.atLeast {
			want = strings.Replace(want, "≤", "≥", 1)
		}
		if g.than != "" {
			want, reached = want+" × "+g.than, fmt.Sprintf("%.2f × ", v)
		}
		out.AppendRow(table.Row{names[g.row], want, strings.TrimSpace(reached), met})
	}
	return out
}
