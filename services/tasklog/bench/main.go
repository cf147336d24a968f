// Bench measures Tasklog on a redis-server that it starts itself, with every service running in
// this process, and prints a table and JSON.
//
// The figure that noise moves least is the CPU of Redis' main thread per task: it bounds what one
// Redis can do. Rates depend on the machine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/client"
)

// row is one line of the result.
type row struct {
	Name         string  `json:"name"`
	TasksPerSec  float64 `json:"tasksPerSec"`
	RedisMicros  float64 `json:"redisMicros"`            // CPU of Redis' main thread per task
	TimesFloor   float64 `json:"timesFloor"`             // RedisMicros against those of the first row
	ClientMicros float64 `json:"clientMicros"`           // CPU of producer and services per task
	LagMs        float64 `json:"lagMs"`                  // from the last completion until the views counted it
	EventsPerSec float64 `json:"eventsPerSec,omitempty"` // of a replay
	PeakHeapMiB  float64 `json:"peakHeapMiB,omitempty"`  // of a replay: the most that the heap held
}

func main() {
	tasks := flag.Int("tasks", 100_000, "number of tasks of each row")
	producers := flag.Int("producers", 128, "goroutines that enqueue one task per call")
	concurrency := flag.Int("concurrency", 256, "tasks that the worker runs at once")
	asJSON := flag.Bool("json", false, "print the JSON only, one object a row")
	runs := flag.Int("runs", 3, "runs of each row: the median by Redis CPU is printed")
	only := flag.String("only", "", "one kind of row: floor, enqueue, tasks, state or replay")
	profile := flag.String("cpuprofile", "", "file for a CPU profile of this process")
	commands := flag.Bool("commands", false, "print what Redis ran, per task")
	flag.Parse()
	debug.SetGCPercent(400) // as the binary does
	if *profile != "" {
		f, err := os.Create(*profile)
		if err == nil {
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		defer pprof.StopCPUProfile()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{tasks: *tasks, producers: *producers, concurrency: *concurrency, commands: *commands, only: *only}
	if err := b.all(ctx, *runs, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	tasks, producers, concurrency int
	commands                      bool
	only                          string // a kind of row; empty: all
}

func (b bench) all(ctx context.Context, runs int, asJSON bool) error {
	out := table.NewWriter()
	out.SetOutputMirror(os.Stdout)
	out.AppendHeader(table.Row{"", "tasks/s", "Redis µs/task", "× floor", "Go µs/task", "views behind, ms", "events/s", "heap, MiB"})
	var floor float64
	for _, variant := range []struct {
		name string
		run  func(context.Context) (row, error)
	}{
		{"floor", b.floor},
		{"enqueue", func(ctx context.Context) (row, error) {
			return b.enqueue(ctx, "enqueue, one per call, 64 callers", func(ctx context.Context, log *eventlog.Log) error { return b.produce(ctx, log, 64) })
		}},
		{"enqueue", func(ctx context.Context) (row, error) {
			return b.enqueue(ctx, "enqueue in bulk of 1000", b.produceMany)
		}},
		{"tasks", func(ctx context.Context) (row, error) { return b.endToEnd(ctx, "end to end", false) }},
		{"tasks", func(ctx context.Context) (row, error) { return b.endToEnd(ctx, "end to end, AOF everysec", true) }},
		{"state", b.replayState},
		{"replay", bench{tasks: 250_000}.replayViews},
		{"replay", bench{tasks: 1_000_000}.replayViews},
	} {
		if b.only != "" && b.only != variant.name {
			continue
		}
		var rows []row
		for range runs {
			r, err := variant.run(ctx)
			if err != nil {
				return err
			}
			rows = append(rows, r)
		}
		r := median(rows)
		if variant.name == "floor" {
			floor = r.RedisMicros
		}
		if floor > 0 {
			r.TimesFloor = r.RedisMicros / floor
		}
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		fmt.Println(string(line))
		out.AppendRow(table.Row{
			r.Name, fmt.Sprintf("%.0f", r.TasksPerSec), fmt.Sprintf("%.1f", r.RedisMicros), fmt.Sprintf("%.2f", r.TimesFloor),
			fmt.Sprintf("%.1f", r.ClientMicros), fmt.Sprintf("%.0f", r.LagMs),
			fmt.Sprintf("%.0f", r.EventsPerSec), fmt.Sprintf("%.0f", r.PeakHeapMiB),
		})
	}
	if !asJSON {
		out.Render()
	}
	return nil
}

// endToEnd enqueues and works at once, with every service running, until all tasks are completed
// and the views have counted them.
func (b bench) endToEnd(ctx context.Context, name string, aof bool) (row, error) {
	srv, log, shut, err := startLog(ctx, aof)
	if err != nil {
		return row{}, err
	}
	defer shut()
	house, err := startServices(ctx, log, b.concurrency, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return row{}, err
	}
	defer house.close()

	before, err := srv.spent(ctx)
	if err != nil {
		return row{}, err
	}
	if err := b.produce(ctx, log, b.producers); err != nil {
		return row{}, err
	}
	// Every task is in the log with its four events: requested, due, started, completed.
	var entries int64
	err = until(ctx, func() (bool, error) {
		entries, err = log.Len(ctx, log.Partitions()[0])
		return entries >= 4*int64(b.tasks), err
	})
	if err != nil {
		return row{}, fmt.Errorf("%d events of %d tasks: %w", entries, b.tasks, err)
	}
	done := time.Now()
	last, err := log.Last(ctx, log.Partitions()[0])
	if err != nil {
		return row{}, err
	}
	err = until(ctx, func() (bool, error) {
		at, err := views.New(log).Checkpoint(ctx, log.Partitions()[0])
		return at.Compare(last) >= 0, err
	})
	if err != nil {
		return row{}, fmt.Errorf("the views did not count all: %w", err)
	}
	after, err := srv.spent(ctx)
	if err != nil {
		return row{}, err
	}
	if b.commands {
		if err := srv.commands(ctx, float64(b.tasks)); err != nil {
			return row{}, err
		}
	}
	r := b.row(name, before, after, done)
	r.LagMs = float64(after.at.Sub(done).Milliseconds())
	return r, nil
}

// row tells what was spent between two moments; done is when the last task was.
func (b bench) row(name string, before, after usage, done time.Time) row {
	n := float64(b.tasks)
	return row{
		Name: name, TasksPerSec: n / done.Sub(before.at).Seconds(),
		RedisMicros:  float64((after.redis - before.redis).Microseconds()) / n,
		ClientMicros: float64((after.client - before.client).Microseconds()) / n,
	}
}

// produce enqueues the tasks, one per call, from many goroutines over the pipelined client.
func (b bench) produce(ctx context.Context, log *eventlog.Log, producers int) error {
	c := client.New(log, client.Options{})
	defer func() { _ = c.Close() }() // it opened nothing
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, producers)
	for range producers {
		wg.Go(func() {
			for next.Add(1) <= int64(b.tasks) {
				if _, err := c.Enqueue(ctx, client.Task{Name: "noop", Payload: payload}); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return errors.Join(<-errs)
}

// until asks every 5 ms, for two minutes at the most.
func until(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
