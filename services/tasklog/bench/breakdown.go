package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// breakdown runs the row from end to end once more and tells where the time of a task goes: in Redis by command,
// and here by function.
func (b bench) breakdown(ctx context.Context) (commands, functions string, err error) {
	srv, err := startServer(ctx, false)
	if err != nil {
		return "", "", err
	}
	defer srv.stop()
	t, err := newTasklog(ctx, srv)
	if err != nil {
		return "", "", err
	}
	defer t.close()
	profile := filepath.Join(srv.dir, "cpu.prof")
	if err := profiled(profile, func() error { _, err := b.endToEnd(ctx, t, srv); return err }); err != nil {
		return "", "", err
	}
	list, err := srv.commands(ctx)
	if err != nil {
		return "", "", err
	}
	out := table.NewWriter()
	out.AppendHeader(table.Row{"command", "calls per task", "µs per task"})
	for _, c := range list {
		if calls, micro := c.calls/float64(b.tasks), c.micro/float64(b.tasks); micro >= 0.1 {
			out.AppendRow(table.Row{c.name, fmt.Sprintf("%.3f", calls), fmt.Sprintf("%.1f", micro)})
		}
	}
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=30", "-show", shown, profile).Output()
	if err != nil {
		return "", "", fmt.Errorf("go tool pprof: %w", err)
	}
	_, functions, _ = strings.Cut(string(top), "\nDuration: ") // what stands before names the program
	return out.RenderMarkdown(), "```text\nDuration: " + functions + "```", nil
}

// shown are the functions that tell something: ours, those of the Redis client, and the dear ones of the runtime.
const shown = `tasklog/tasklog|go-redis|syscall|mallocgc$|gcBgMark|findRunnable`

// machine says what was measured on, and how busy it was with other things.
func machine(ctx context.Context, b bench) (string, error) {
	version, err := exec.CommandContext(ctx, "redis-server", "--version").Output()
	if err != nil {
		return "", err
	}
	redis := "Redis"
	for word := range strings.FieldsSeq(string(version)) {
		if v, ok := strings.CutPrefix(word, "v="); ok {
			redis += " " + v
		}
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	model := "processor"
	for line := range strings.Lines(string(cpuinfo)) {
		if name, ok := strings.CutPrefix(line, "model name\t: "); ok {
			model = strings.TrimSpace(name)
		}
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(load))
	if len(fields) < 3 {
		return "", fmt.Errorf("/proc/loadavg: %q", load)
	}
	return fmt.Sprintf("%d cores (%s), %s, %s, %s; runs of a row: %d, tasks: %d; load averages at the end, those of the benchmark included: %s",
		runtime.NumCPU(), model, redis, runtime.Version(), runtime.GOOS, b.runs, b.tasks, strings.Join(fields[:3], ", ")), nil
}

// write writes what was measured into the page.
func (b bench) write(ctx context.Context, figures, reached table.Writer) error {
	about, err := machine(ctx, b)
	if err != nil {
		return err
	}
	commands, functions, err := b.breakdown(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		writeInto(b.page, "machine", about),
		writeInto(b.page, "figures", figures.RenderMarkdown()), writeInto(b.page, "goals", reached.RenderMarkdown()),
		writeInto(b.page, "commands", commands), writeInto(b.page, "functions", functions),
	)
}
