package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/services/worker"
)

// errNoHandlers explains what a worker of the stock binary needs.
var errNoHandlers = &usageError{errors.New(`a worker needs handlers:
  --handlers FILE  a YAML file that names a URL for each task name, so that any language can work
  --demo           the demo handlers: echo, sleep, fail, and any other name completes
In Go, write a program with the package github.com/tasklog/tasklog/services/worker instead`)}

func (p *program) workerCmd() *cobra.Command {
	var demo bool
	cmd := serviceFlags(&cobra.Command{
		Use: "worker", Short: "Run a worker: it runs tasks", Args: cobra.NoArgs,
		Long: "Run a worker: it runs tasks, by HTTP requests to the targets in a file or by demo handlers.\n\n" + demoHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !demo {
				return errNoHandlers
			}
			return p.serve(cmd.Context(), func(h *house) ([]service, error) { return list(h.worker(demo)) })
		},
	})
	flags := cmd.Flags()
	setting(flags, "queues", "TASKLOG_QUEUES", "queues to serve, separated by commas (default all)")
	setting(flags, "concurrency", "TASKLOG_CONCURRENCY", "how many tasks run at once")
	setting(flags, "lease-ttl", "TASKLOG_LEASE_TTL", "how long an attempt lives without a heartbeat; as the schedulers have it")
	setting(flags, "grace", "TASKLOG_GRACE", "how long running handlers may go on at shutdown")
	setting(flags, "worker-id", "TASKLOG_WORKER_ID", "name of this worker (default host-pid)")
	flags.BoolVar(&demo, "demo", false, "use the demo handlers for names that the file does not have")
	return cmd
}

func (h *house) worker(demo bool) (service, error) {
	cfg, err := load[worker.Config](h.settings)
	if err != nil {
		return service{}, err
	}
	cfg.Version, cfg.Metrics = version(), h.metrics
	w, err := worker.New(h.log, cfg, h.of("worker"))
	if err != nil {
		return service{}, &usageError{err}
	}
	if demo {
		addDemo(w, h.of("worker"))
	}
	return service{"worker", w.Run}, nil
}
