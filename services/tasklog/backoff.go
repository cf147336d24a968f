package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
)

// backoffFlag is an events.Backoff on the command line.
type backoffFlag struct{ *events.Backoff }

var errBackoff = errors.New("want one such as fixed:5s, exponential:1s or exponential:1s..1m")

// Set implements pflag.Value.
func (f backoffFlag) Set(s string) error {
	b, delays, timed := events.Backoff{}, "", false
	if b.Type, delays, timed = strings.Cut(s, ":"); b.Type != events.BackoffFixed && b.Type != events.BackoffExponential {
		return errBackoff
	}
	if timed {
		first, most, bounded := strings.Cut(delays, "..")
		if bounded && b.Type == events.BackoffFixed {
			return errBackoff
		}
		var err error
		if b.DelayMs, err = millis(first); err == nil && bounded {
			b.MaxDelayMs, err = millis(most)
		}
		if err != nil || bounded && b.MaxDelayMs < b.DelayMs {
			return errBackoff
		}
	}
	*f.Backoff = b
	return nil
}

// millis reads a duration of whole milliseconds, one at least: to a Backoff 0 means that it was left out.
func millis(s string) (int64, error) {
	d, err := time.ParseDuration(s)
	if err == nil && d < time.Millisecond {
		err = errBackoff
	}
	return d.Milliseconds(), err
}

// String implements pflag.Value.
func (f backoffFlag) String() string {
	if f.Backoff == nil || f.Backoff.Type == "" {
		return ""
	}
	s := f.Backoff.Type
	if f.DelayMs > 0 {
		s += ":" + span(f.DelayMs)
	}
	if f.MaxDelayMs > 0 {
		s += ".." + span(f.MaxDelayMs)
	}
	return s
}

func span(ms int64) string { return fmt.Sprint(time.Duration(ms) * time.Millisecond) }

// Type implements pflag.Value.
func (backoffFlag) Type() string { return "backoff" }
