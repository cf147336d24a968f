// Chaos runs every service as processes of their own, on a redis-server of their own, under load and
// under faults that a seed chooses. Then it heals everything, waits until every task is final, and holds
// three records against each other: what the clients were told, what the handlers were asked to do, and
// the log. It prints what it did and found, and exits with 1 unless nothing was lost, doubled or left.
//
// docs/reliability.md says what the columns of its tables mean.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	minutes := flag.Float64("minutes", 3, "how long faults happen; what follows takes a minute more, or two")
	seed := flag.Uint64("seed", 0, "of the faults and of the load (0: any)")
	rate := flag.Int("rate", 60, "tasks a second")
	race := flag.Bool("race", false, "build the services with the race detector")
	keep := flag.Bool("keep", false, "keep the folder with Redis' data and the services' output")
	verbose := flag.Bool("v", false, "say each fault")
	flag.Parse()
	if *seed == 0 {
		*seed = rand.Uint64N(1_000_000)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	p := plan{length: time.Duration(*minutes * float64(time.Minute)), seed: *seed, rate: *rate}
	ok, err := chaos(ctx, p, *race, *keep, logger)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if !ok {
		stop()
		os.Exit(1)
	}
}

// chaos builds the services and runs the plan in a folder of its own, which it removes when all is well.
func chaos(ctx context.Context, p plan, race, keep bool, logger *slog.Logger) (bool, error) {
	dir, err := os.MkdirTemp("", "tasklog-chaos-")
	if err != nil {
		return false, err
	}
	p.binary = filepath.Join(dir, "tasklog")
	if err := build(ctx, p.binary, race); err != nil {
		return false, err
	}
	result, err := run(ctx, p, dir, logger)
	if result != nil {
		result.print(os.Stdout)
	}
	ok := err == nil && result.ok()
	if ok && !keep {
		return true, os.RemoveAll(dir)
	}
	logger.LogAttrs(ctx, slog.LevelInfo, "kept Redis' data and the services' output", slog.String("folder", dir))
	return ok, err
}
