// Bench measures Tasklog, and other queues beside it, each row on a redis-server that it starts itself, with every
// service of Tasklog running in this process. It prints a JSON object a row, and tables.
//
// The figure that noise moves least is the CPU of Redis' main thread per task: it bounds what one
// Redis can do. Rates depend on the machine, which has slow and fast spells: each row runs a few times, those of the
// sides that are compared in turns.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

type bench struct {
	tasks, callers, concurrency int
	window                      time.Duration
	runs                        int
	only                        []string // kinds of rows; empty: all
	systems                     []system // Tasklog first
	commands, asJSON            bool
	page                        string
}

func main() {
	b := bench{systems: []system{{us, openTasklog}}}
	flag.IntVar(&b.tasks, "tasks", 100_000, "number of tasks of a row; some have a half, a tenth, or ten times as many")
	flag.IntVar(&b.callers, "callers", 64, "goroutines that enqueue one task per call")
	flag.IntVar(&b.concurrency, "concurrency", 100, "tasks that the worker runs at once")
	flag.DurationVar(&b.window, "window", 10*time.Second, "how long rows last that have no number of tasks")
	flag.IntVar(&b.runs, "runs", 5, "runs of each row: the median is printed, and the best")
	flag.BoolVar(&b.asJSON, "json", false, "print the JSON only, one object a row")
	flag.BoolVar(&b.commands, "commands", false, "print what Redis ran, for each of -tasks")
	flag.StringVar(&b.page, "page", "", "Markdown file to write the tables into, and where the time of a task goes")
	only := flag.String("only", "", "kinds of rows, separated by commas: "+kinds())
	scaling := flag.Bool("scaling", false, "measure partitions on one node and on three instead")
	profile := flag.String("cpuprofile", "", "file for a CPU profile of this process")
	flag.Func("peer", "NAME=COMMAND of a queue to compare with; may be repeated", func(text string) error {
		s, err := newSystem(text)
		b.systems = append(b.systems, s)
		return err
	})
	flag.Parse()
	if *only != "" {
		b.only = strings.Split(*only, ",")
	}
	debug.SetGCPercent(400) // as the binary does
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	measure := b.all
	if *scaling {
		measure = b.scaling
	}
	err := b.check()
	if err == nil {
		err = profiled(*profile, func() error { return measure(ctx) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// check says what is wrong with the flags.
func (b bench) check() error {
	switch {
	case b.tasks < 500 || b.callers < 1 || b.concurrency < 1 || b.runs < 1:
		return errors.New("want -tasks 500 or more, and -callers, -concurrency and -runs 1 or more")
	case b.window < 100*time.Millisecond:
		return errors.New("want a -window of 100ms or more")
	}
	for _, kind := range b.only {
		if !slices.ContainsFunc(b.rows(), func(r row) bool { return r.kind == kind }) {
			return fmt.Errorf("-only %s: want some of %s", kind, kinds())
		}
	}
	return nil
}

// kinds lists the kinds of rows.
func kinds() string {
	var list []string
	for _, r := range (bench{}).rows() {
		if !slices.Contains(list, r.kind) {
			list = append(list, r.kind)
		}
	}
	return strings.Join(list, ", ")
}

// profiled runs f, and writes a CPU profile of that to a file, if one is named.
func profiled(path string, f func() error) error {
	if path == "" {
		return f()
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	err = f()
	pprof.StopCPUProfile()
	return errors.Join(err, out.Close())
}

// all measures every row, and prints each when it is done, and the tables at the end.
func (b bench) all(ctx context.Context) error {
	var lines []line
	rows := b.rows()
	for _, r := range rows {
		if len(b.only) > 0 && !slices.Contains(b.only, r.kind) {
			continue
		}
		more, err := b.measure(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		for _, l := range more {
			text, err := json.Marshal(l)
			if err != nil {
				return err
			}
			fmt.Println(string(text))
		}
		lines = append(lines, more...)
	}
	figures, reached := tabulate(lines), judge(rows, lines)
	if !b.asJSON {
		fmt.Println(figures.Render())
		fmt.Println(reached.Render())
	}
	if b.page == "" {
		return nil
	}
	return b.write(ctx, figures, reached)
}

// measure runs a row for each system, in turns.
func (b bench) measure(ctx context.Context, r row) ([]line, error) {
	runs := make([][]figures, len(b.systems))
	times := b.runs
	if r.once {
		times = 1
	}
	for range times {
		for i, sys := range b.systems {
			if r.alone && i > 0 {
				continue
			}
			f, err := b.once(ctx, r, sys)
			switch {
			case errors.Is(err, errNone):
			case err != nil:
				return nil, fmt.Errorf("%s: %w", sys.name, err)
			default:
				runs[i] = append(runs[i], f)
			}
		}
	}
	var lines []line
	for i, sys := range b.systems {
		if len(runs[i]) > 0 {
			lines = append(lines, sum(r.name, sys.name, runs[i]))
		}
	}
	return lines, nil
}

// once runs a row once, on a new redis-server.
func (b bench) once(ctx context.Context, r row, sys system) (figures, error) {
	srv, err := startServer(ctx, r.aof)
	if err != nil {
		return nil, err
	}
	defer srv.stop()
	s, err := sys.open(ctx, srv)
	if err != nil {
		return nil, err
	}
	defer s.close()
	f, err := r.run(ctx, s, srv)
	if err != nil || !b.commands {
		return f, err
	}
	list, err := srv.commands(ctx)
	fmt.Fprintf(os.Stderr, "%s, %s\n", r.name, sys.name)
	for _, c := range list {
		if c.calls > float64(b.tasks)/1000 {
			fmt.Fprintf(os.Stderr, "%-12s %6.3f calls  %6.2f µs\n", c.name, c.calls/float64(b.tasks), c.micro/float64(b.tasks))
		}
	}
	return f, err
}
