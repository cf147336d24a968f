package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tasklog/tasklog/services/worker/internal/verdict"
)

// Task is what a handler is given: one attempt at a task.
type Task[P any] struct {
	ID       string
	Name     string
	Queue    string
	Priority int
	Payload  P
	DueAt    time.Time // since when it could have run, by Redis' clock

	// Attempt is the number of this attempt: 1 at first. It only grows, also over a requested retry.
	Attempt int
	// Attempts is how many attempts count so far, this one included; after MaxAttempts of them the
	// task fails for good.
	Attempts    int
	MaxAttempts int

	Traceparent string // W3C trace context of the request; may be empty
}

// IdempotencyKey is the same for every attempt at a task, and no other task has it: its id. Give it
// to every service outside that takes one, for in rare cases a task runs twice.
func (t Task[P]) IdempotencyKey() string { return t.ID }

// Raw is a handler that decodes the payload itself. The payload may be empty, and means null then.
type Raw func(ctx context.Context, t Task[json.RawMessage]) (any, error)

// Handle makes h the handler of the tasks with a name. A payload is decoded into P by encoding/json,
// and one that does not fit fails the task for good; P may be json.RawMessage or any. What h returns
// becomes the task's result, as JSON. An error means another attempt, while one is left, unless it
// is a NonRetryable. A panic is an error.
//
// The context ends when the task's time is over, at cancellation, when the attempt is lost and at
// the end of a shutdown's grace period: context.Cause tells which.
//
// Handle panics when the name has a handler, or after Run was called: both are mistakes in the program.
func Handle[P any](w *Worker, name string, h func(ctx context.Context, t Task[P]) (any, error)) {
	w.handlers.add(name, typed(h))
}

// HandlePattern makes h the handler of all names that match a pattern, where * stands for any run of
// characters: "img.*". A handler for the very name wins, then the longest pattern. It panics as
// Handle does.
func (w *Worker) HandlePattern(pattern string, h Raw) { w.handlers.addPattern(pattern, h) }

// HandleAny makes h the handler of every name that has no other. It panics as Handle does.
func (w *Worker) HandleAny(h Raw) { w.handlers.addPattern("*", h) }

// typed decodes the payload for a handler.
func typed[P any](h func(context.Context, Task[P]) (any, error)) Raw {
	return func(ctx context.Context, t Task[json.RawMessage]) (any, error) {
		payload, err := verdict.Decode[P](t.Payload)
		if err != nil {
			return nil, err
		}
		return h(ctx, Task[P]{
			ID: t.ID, Name: t.Name, Queue: t.Queue, Priority: t.Priority, Payload: payload, DueAt: t.DueAt,
			Attempt: t.Attempt, Attempts: t.Attempts, MaxAttempts: t.MaxAttempts, Traceparent: t.Traceparent,
		})
	}
}

// handlers finds the handler of a name. It does not change once the worker runs.
type handlers struct {
	exact    map[string]Raw
	patterns []pattern // the longest first
	closed   bool
}

type pattern struct {
	glob string
	h    Raw
}

func (hs *handlers) add(name string, h Raw) {
	if _, taken := hs.exact[name]; taken || hs.closed || h == nil {
		panic(fmt.Sprintf("worker: the handler of %q is nil, the second one, or came after Run", name))
	}
	if hs.exact == nil {
		hs.exact = map[string]Raw{}
	}
	hs.exact[name] = h
}

func (hs *handlers) addPattern(glob string, h Raw) {
	taken := slices.ContainsFunc(hs.patterns, func(p pattern) bool { return p.glob == glob })
	if taken || hs.closed || h == nil {
		panic(fmt.Sprintf("worker: the handler of %q is nil, the second one, or came after Run", glob))
	}
	hs.patterns = append(hs.patterns, pattern{glob, h})
	slices.SortStableFunc(hs.patterns, func(a, b pattern) int { return len(b.glob) - len(a.glob) })
}

// find returns the handler of a name, or nil.
func (hs *handlers) find(name string) Raw {
	if h, ok := hs.exact[name]; ok {
		return h
	}
	for _, p := range hs.patterns {
		if match(p.glob, name) {
			return p.h
		}
	}
	return nil
}

// total reports whether every name has a handler: then nobody needs to ask.
func (hs *handlers) total() bool {
	return slices.ContainsFunc(hs.patterns, func(p pattern) bool { return p.glob == "*" })
}

func (hs *handlers) empty() bool { return len(hs.exact)+len(hs.patterns) == 0 }

// match reports whether s is what glob describes, where * is any run of characters.
func match(glob, s string) bool {
	head, rest, star := strings.Cut(glob, "*")
	if !star {
		return glob == s
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] { // the first place that fits leaves most for the others
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
