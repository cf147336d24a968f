package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/infra/devredis"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const devHelp = `Run everything in one process: API, dashboard, scheduler, worker with demo handlers, projector.

Redis is the one that --redis or TASKLOG_REDIS_URL names; else a private redis-server or
valkey-server, when one is on the PATH, whose data stays in the folder of --data; else an
embedded one, which is slow and keeps nothing.

` + demoHelp

func (p *program) devCmd() *cobra.Command {
	var noWorker bool
	cmd := &cobra.Command{
		Use: "dev", Short: "Run everything in one process, Redis included", Long: devHelp, Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.dev(cmd.Context(), noWorker) },
	}
	apiFlags(cmd.Flags())
	cmd.Flags().BoolVar(&noWorker, "no-worker", false, "run no worker: your own does the work")
	return cmd
}

func (p *program) dev(ctx context.Context, noWorker bool) error {
	h, err := p.newHouse()
	if err != nil {
		return err
	}
	cfg, err := load[config](p.settings)
	if err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	at := cfg.RedisURL
	var redis *devredis.Server // nil: it was named
	if at == "" {
		redis, err = devredis.Start(ctx, cfg.Data)
		if errors.Is(err, devredis.ErrInUse) {
			return fmt.Errorf("%w: does another \"tasklog dev\" run there? Stop it, or choose another folder with --data", err)
		}
		if err != nil {
			return err
		}
		defer redis.Stop() // after everything that uses it
		at = redis.URL
	}
	log, shut, err := p.await(ctx, h.logger, at, cfg.RedisWait, func(c *eventlog.Conn) error {
		if redis != nil {
			return nil // it is set up as we want it, or said to be what it is
		}
		return p.judge(ctx, h.logger, c, at, cfg.InsecureRedis)
	})
	if err != nil {
		return err
	}
	defer shut()
	h.log = log

	stages, addr, err := h.devStages(ctx, redis, noWorker)
	if err != nil {
		return err
	}
	b := banner{addr: addr, at: at, data: cfg.Data, redis: redis, stream: log.Partitions()[0].Events, noWorker: noWorker, tokens: h.settings["TASKLOG_TOKENS"].value != ""}
	if err := b.print(p.stdout); err != nil {
		return err
	}
	if redis != nil {
		for _, why := range redis.Skipped {
			h.logger.LogAttrs(ctx, slog.LevelWarn, "a Redis on the PATH cannot be used", slog.String("reason", why))
		}
	}
	return h.runAll(ctx, stages...)
}

// devStages lists the services as they stop: first nothing more is asked for, then what runs ends,
// then what it needed for that. It returns the address of the API, too.
func (h *house) devStages(ctx context.Context, redis *devredis.Server, noWorker bool) (stages [][]service, addr string, err error) {
	var workers []service
	if !noWorker {
		work, err := h.worker(h.addDemo)
		if err != nil {
			return nil, "", err
		}
		workers = append(workers, work)
	}
	schedule, err := h.scheduler()
	if err != nil {
		return nil, "", err
	}
	project, err := h.projector()
	if err != nil {
		return nil, "", err
	}
	api, addr, err := h.api(ctx)
	if err != nil {
		return nil, "", err
	}
	last := []service{schedule, project}
	if h.settings["TASKLOG_ARCHIVE"].value != "" {
		archive, err := h.archiver(ctx, h.settings["TASKLOG_ARCHIVE"].value, archiveOptions{})
		if err != nil {
			return nil, "", err
		}
		last = append(last, archive)
	}
	if redis != nil {
		last = append(last, service{redis.Kind, func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return nil
			case <-redis.Ended():
				return fmt.Errorf("it is gone; it said why in %s", redis.LogFile())
			}
		}})
	}
	return [][]service{{api}, workers, last}, addr, nil
}
