package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/client"
)

const defaultRedisURL = "redis://127.0.0.1:6379/0"

// redisURL returns the Redis that was named, or the one that `tasklog dev` runs, or the usual one.
func redisURL(cfg config) string {
	if cfg.RedisURL != "" {
		return cfg.RedisURL
	}
	if data, err := os.ReadFile(filepath.Join(cfg.Data, "redis.url")); err == nil {
		return strings.TrimSpace(string(data))
	}
	return defaultRedisURL
}

// open returns the log for a command: a Redis that does not answer now is an *unreachableError.
func (p *program) open(ctx context.Context) (*eventlog.Log, func(), error) {
	cfg, err := load[config](p.settings)
	if err != nil {
		return nil, nil, err
	}
	return p.try(ctx, redisURL(cfg.withDefaults()), nil)
}

// await returns the log for a service: it waits for a Redis that does not answer yet. check, if there is
// one, may refuse the Redis that does.
func (p *program) await(
	ctx context.Context, logger *slog.Logger, at string, patience time.Duration, check func(*eventlog.Conn) error,
) (log *eventlog.Log, shut func(), err error) {
	deadline := time.Now().Add(patience)
	waiting, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err = eventlog.Await(waiting, func() error {
		log, shut, err = p.try(ctx, at, check)
		return err
	}, func(err error) {
		if unreachable, ok := errors.AsType[*unreachableError](err); ok {
			err = unreachable.err // what it advises is for people who gave a command
		}
		logger.LogAttrs(ctx, slog.LevelWarn, "redis cannot be used yet: waiting for it", slog.String("redis", redacted(at)),
			slog.Any("error", err), slog.Duration("patience", time.Until(deadline).Round(time.Second)))
	})
	return log, shut, err
}

// try returns the log, if Redis answers now to all that has to be asked of it.
func (p *program) try(ctx context.Context, at string, check func(*eventlog.Conn) error) (*eventlog.Log, func(), error) {
	conn, err := connect(at)
	if err != nil {
		return nil, nil, err
	}
	if err := conn.Ping(ctx); err != nil {
		_ = conn.Close() // nothing was sent
		return nil, nil, away(at, err)
	}
	if check != nil {
		if err := check(conn); err != nil {
			_ = conn.Close() // nothing was written
			return nil, nil, err
		}
	}
	return p.openLog(ctx, conn)
}

// judge refuses a Redis that would lose tasks, and tells the log what it doubts. With insecure it only tells.
func (p *program) judge(ctx context.Context, logger *slog.Logger, conn *eventlog.Conn, at string, insecure bool) error {
	doubt := func(why string) {
		logger.LogAttrs(ctx, slog.LevelWarn, "redis may lose tasks", slog.String("redis", redacted(at)), slog.String("reason", why))
	}
	doubts, unfit, err := conn.Judge(ctx)
	switch {
	case eventlog.Unavailable(err):
		return &unreachableError{redacted(at), err}
	case err != nil:
		doubt("it does not tell how it is set up: " + err.Error()) // a user without INFO, for one
	case unfit != nil && !insecure:
		return &unfitError{redacted(at), unfit}
	case unfit != nil:
		doubt(unfit.Error())
	}
	for _, why := range doubts {
		doubt(why)
	}
	return nil
}

// unfitError says that a log must not be kept in a Redis, and how to do so all the same.
type unfitError struct {
	url string // without its password
	err error
}

// Error names the Redis, and says why.
func (e *unfitError) Error() string {
	return fmt.Sprintf("redis at %s cannot keep the log: %v\n"+
		"Where losing tasks does no harm, --insecure-redis or TASKLOG_INSECURE_REDIS=true starts all the same.", e.url, e.err)
}

// Unwrap returns why.
func (e *unfitError) Unwrap() error { return e.err }

func connect(at string) (*eventlog.Conn, error) {
	conn, err := eventlog.Connect(at)
	if err != nil {
		return nil, &usageError{fmt.Errorf("%w (not %s)", err, redacted(at))}
	}
	return conn, nil
}

func (p *program) openLog(ctx context.Context, conn *eventlog.Conn) (*eventlog.Log, func(), error) {
	shut := func() { _ = conn.Close() } // what counted was answered before
	cfg, err := load[eventlog.Config](p.settings)
	if err != nil {
		shut()
		return nil, nil, err
	}
	cfg.AnyRows = p.anyRows
	log, err := eventlog.Open(ctx, conn, cfg)
	if err != nil {
		shut()
		return nil, nil, err
	}
	if at := p.settings["TASKLOG_ARCHIVE"].value; at != "" {
		old := &olderLog{open: func(ctx context.Context) (*archive.Archive, error) { return p.openArchive(ctx, at, archive.Open) }}
		log.Attach(old)
		return log, func() { shut(); old.close() }, nil
	}
	return log, shut, nil
}

// client opens the log for commands that act on tasks and queues.
func (p *program) client(ctx context.Context) (*client.Client, func(), error) {
	log, shut, err := p.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	return p.clientOf(log, shut)
}

// operator is who acts on tasks and queues, as events record it.
func operator() string {
	if host := hostname(); host != "" {
		return "cli@" + host
	}
	return "cli"
}

// clientOf returns a client of a log that is open, and what closes both.
func (p *program) clientOf(log *eventlog.Log, shut func()) (*client.Client, func(), error) {
	cfg, err := load[config](p.settings)
	if err != nil {
		shut()
		return nil, nil, err
	}
	c := client.New(log, client.Options{By: operator(), MaxPayload: cfg.MaxPayload, MaxMemory: cfg.MaxMemory})
	return c, func() {
		shut()        // first: it ends a blocking read, which the client would wait for
		_ = c.Close() // it owns no connection
	}, nil
}

// redacted is a Redis URL that may be shown: its passwords are not.
func redacted(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return "the given URL"
	}
	if q := u.Query(); q.Has("sentinel_password") {
		q.Set("sentinel_password", "xxxxx")
		u.RawQuery = q.Encode()
	}
	return u.Redacted()
}
