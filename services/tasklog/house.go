package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/telemetry"
)

// service is one of those that a process runs. run blocks until ctx ends and all is over.
type service struct {
	name string
	run  func(ctx context.Context) error
}

// house is what the services of a process share.
type house struct {
	*program
	logger  *slog.Logger
	metrics *prometheus.Registry
	log     *eventlog.Log
}

// of returns the logger of a service.
func (h *house) of(name string) *slog.Logger { return h.logger.With(slog.String("service", name)) }

// serviceFlags are those of a service that runs alone and serves no HTTP of its own.
func serviceFlags(cmd *cobra.Command) *cobra.Command {
	setting(cmd.Flags(), "health-addr", "TASKLOG_HEALTH_ADDR", "host:port for /healthz, /readyz and /metrics (default off)")
	return cmd
}

// setting adds a flag for a variable. Whether the value is good the Config's reader says.
func setting(flags *pflag.FlagSet, flag, variable, usage string) {
	flags.String(flag, "", usage)
	names(flags, flag, variable)
}

// serve runs one service: it answers for its health, waits for Redis, builds and runs it.
func (p *program) serve(ctx context.Context, build func(h *house) (service, error)) error {
	h, err := p.newHouse()
	if err != nil {
		return err
	}
	healthCfg, err := load[telemetry.HealthConfig](p.settings)
	if err != nil {
		return err
	}
	var conn atomic.Pointer[eventlog.Conn] // nil until Redis has answered
	health, err := telemetry.NewHealth(ctx, healthCfg, h.metrics, func(ctx context.Context) error {
		if c := conn.Load(); c != nil {
			return c.Ping(ctx)
		}
		return errors.New("redis has not answered yet")
	})
	if err != nil {
		return err
	}
	// The health server answers from before Redis does until after all else is over.
	ctx, stop := context.WithCancelCause(ctx)
	healthCtx, stopHealth := context.WithCancel(context.WithoutCancel(ctx))
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := health.Run(healthCtx); err != nil {
			stop(&endedError{"health server", err})
		}
	})
	defer serving.Wait()
	defer stopHealth()
	if health.Addr() != "" {
		h.logger.LogAttrs(ctx, slog.LevelInfo, "health server listens", slog.String("addr", health.Addr()))
	}

	cfg, err := load[config](p.settings)
	if err != nil {
		return err
	}
	cfg = cfg.withDefaults()
	log, shut, err := p.await(ctx, h.logger, redisURL(cfg), cfg.RedisWait, func(c *eventlog.Conn) error {
		return p.judge(ctx, h.logger, c, redisURL(cfg), cfg.InsecureRedis)
	})
	if ctx.Err() != nil && err != nil {
		return nil // told to stop before it began
	}
	if err != nil {
		return err
	}
	defer shut()
	conn.Store(log.Conn())
	h.log = log
	s, err := build(h)
	if err != nil {
		return err
	}
	return h.runAll(ctx, []service{s})
}

func (p *program) newHouse() (*house, error) {
	if err := p.settings.check(); err != nil {
		return nil, err
	}
	cfg, err := load[telemetry.LogConfig](p.settings)
	if err != nil {
		return nil, err
	}
	logger, err := telemetry.Logger(p.stderr, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return nil, &usageError{err}
	}
	redis.SetLogger(redisLog{logger})
	return &house{program: p, logger: logger, metrics: telemetry.NewRegistry(version())}, nil
}

// endedError says that a service is over; without an err, that nothing was wrong.
type endedError struct {
	name string
	err  error
}

// Error names the service.
func (e *endedError) Error() string {
	if e.err == nil {
		return e.name + " ended by itself"
	}
	return e.name + ": " + e.err.Error()
}

// Unwrap returns what was wrong.
func (e *endedError) Unwrap() error { return e.err }

// runAll runs services until ctx ends or one of them does. Then it stops them, stage after stage: those
// of a stage together, when all of the stage before it is over. It returns why the first service ended
// that was not told to, else what went wrong at the end.
func (h *house) runAll(ctx context.Context, stages ...[]service) error {
	var (
		ended = make(chan *endedError, len(slices.Concat(stages...)))
		stops []func()
	)
	for _, stage := range stages {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		var running sync.WaitGroup
		for _, s := range stage {
			running.Go(func() { ended <- &endedError{s.name, s.run(own)} })
		}
		stops = append(stops, func() {
			cancel()
			running.Wait()
		})
	}
	var failure error
	select {
	case <-ctx.Done():
		if e, ok := errors.AsType[*endedError](context.Cause(ctx)); ok { // a signal is no failure
			failure = e
		}
	case e := <-ended:
		failure = e
	}
	if failure != nil {
		h.logger.LogAttrs(ctx, slog.LevelError, "a service ended: stopping the others", slog.Any("error", failure))
	} else {
		h.logger.LogAttrs(ctx, slog.LevelInfo, "stopping")
	}
	for _, stop := range stops {
		stop()
	}
	close(ended)
	for e := range ended {
		if failure == nil && e.err != nil {
			failure = e
		}
	}
	h.logger.LogAttrs(ctx, slog.LevelInfo, "stopped")
	return failure
}
