package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/view"
)

// The exit codes, as `tasklog --help` tells them.
const (
	exitOK = iota
	exitFailure
	exitUsage
	exitNotFound
	exitRefused
	exitUnavailable
)

// usageError says that the command line or a setting is wrong.
type usageError struct{ error }

// Unwrap returns what is wrong.
func (e *usageError) Unwrap() error { return e.error }

// errSilent ends the program with exitFailure and says nothing more: the output said it all.
var errSilent = errors.New("said already")

// unreachableError says that Redis does not answer, and what to do.
type unreachableError struct {
	url string // without its password
	err error
}

// away says why a Redis that was asked first cannot be used: one that answers and lets us not in is a setting
// that is wrong.
func away(at string, err error) error {
	var reply redis.Error
	if errors.As(err, &reply) && !eventlog.Unavailable(err) {
		return &usageError{fmt.Errorf("redis at %s lets us not in: %w\n"+
			"Name the user and the password in --redis or TASKLOG_REDIS_URL: redis://user:password@host:6379/0", redacted(at), err)}
	}
	return &unreachableError{redacted(at), err}
}

// Error names the Redis and the ways to another one.
func (e *unreachableError) Error() string {
	return fmt.Sprintf("no answer from Redis at %s: %v\n"+
		"Start everything here with \"tasklog dev\", or name a Redis with --redis or TASKLOG_REDIS_URL.", e.url, e.err)
}

// Unwrap returns why Redis does not answer.
func (e *unreachableError) Unwrap() error { return e.err }

// exit tells a person what went wrong, and the shell by a number.
func (p *program) exit(err error) int {
	if err == nil {
		return exitOK
	}
	if errors.Is(err, errSilent) {
		return exitFailure
	}
	code := p.code(err)
	if eventlog.Full(err) && !errors.Is(err, eventlog.ErrFull) { // what Redis answers tells of scripts and lines of them
		err = fmt.Errorf("redis is full: nothing was appended. It takes events again when its maxmemory is raised, or when keys have gone\n%w", err)
	}
	_, _ = fmt.Fprintf(p.stderr, "tasklog: %v\n", err) // there is nowhere else to say it
	if !p.parsed {
		_, _ = fmt.Fprintln(p.stderr, "Run \"tasklog --help\", or --help after a command, for usage.")
	}
	return code
}

func (p *program) code(err error) int {
	var (
		usage       *usageError
		field       *events.FieldError
		partitions  *eventlog.ErrPartitions
		unfixed     *eventlog.UnfixedError
		refused     *eventlog.RefusedError
		kept        *view.KeptError
		unreachable *unreachableError
		socket      *net.OpError
	)
	switch {
	case !p.parsed, errors.As(err, &usage), errors.As(err, &field), errors.As(err, &partitions), errors.As(err, &unfixed):
		return exitUsage
	case errors.Is(err, eventlog.ErrNotFound), errors.Is(err, view.ErrNotFound):
		return exitNotFound
	case errors.As(err, &refused), errors.As(err, &kept):
		return exitRefused
	case errors.As(err, &socket) && socket.Op == "listen": // an address of ours, not that of Redis
		return exitFailure
	case errors.As(err, &unreachable), eventlog.Unavailable(err) && !errors.Is(err, context.Canceled):
		return exitUnavailable
	}
	return exitFailure
}
