package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/worker"
	"github.com/tasklog/tasklog/services/worker/httptarget"
)

// errNoHandlers explains what a worker of the stock binary needs.
var errNoHandlers = &usageError{errors.New(`a worker needs handlers:
  --handlers FILE  a YAML file that names a URL for each task name, so that any language can work
  --demo           the demo handlers: echo, sleep, fail, and any other name completes
Handlers in Go are a program of your own, with the package github.com/tasklog/tasklog/services/worker`)}

func (p *program) workerCmd() *cobra.Command {
	var demo bool
	cmd := serviceFlags(&cobra.Command{
		Use: "worker", Short: "Run a worker: it runs tasks", Args: wants(0, 0),
		Long: "Run a worker: it runs tasks, by HTTP requests to the targets in a file or by demo handlers.\n\n" + demoHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load[config](p.settings)
			switch {
			case err != nil:
				return err
			case !demo && cfg.Handlers == "":
				return errNoHandlers
			case demo && cfg.Handlers != "":
				return &usageError{errors.New("--demo and --handlers exclude each other: both have a handler for every name")}
			case demo:
				return p.serve(cmd.Context(), func(h *house) (service, error) { return h.worker(h.addDemo) })
			}
			targets, err := httptarget.Load(cfg.Handlers)
			if err != nil {
				return &usageError{err}
			}
			defer targets.Close()
			return p.serve(cmd.Context(), func(h *house) (service, error) { return h.worker(targets.Register) })
		},
	})
	flags := cmd.Flags()
	setting(flags, "queues", "TASKLOG_QUEUES", "queues to serve, separated by commas (default all)")
	setting(flags, "concurrency", "TASKLOG_CONCURRENCY", "how many tasks run at once")
	setting(flags, "lease-ttl", "TASKLOG_LEASE_TTL", "how long an attempt lives without a heartbeat; as the schedulers have it")
	setting(flags, "grace", "TASKLOG_GRACE", "how long running handlers may go on at shutdown; 0: not at all")
	setting(flags, "worker-id", "TASKLOG_WORKER_ID", "name of this worker (default host-pid)")
	setting(flags, "handlers", "TASKLOG_HANDLERS", "YAML file that names a URL for each task name")
	flags.BoolVar(&demo, "demo", false, "use the demo handlers instead of a file")
	return cmd
}

// worker makes a worker; add gives it its handlers.
func (h *house) worker(add func(*worker.Worker)) (service, error) {
	cfg, err := load[worker.Config](h.settings)
	if err != nil {
		return service{}, err
	}
	for i, q := range cfg.Queues {
		cfg.Queues[i] = strings.TrimSpace(q) // "a, b" means a and b
	}
	cfg.Version, cfg.Metrics = version(), h.metrics
	w, err := worker.New(h.log, cfg, h.of("worker"))
	if err != nil {
		return service{}, &usageError{err}
	}
	add(w)
	return service{"worker", w.Run}, nil
}
