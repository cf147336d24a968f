package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// lookAgain is how long a task may wait before its owner is told what it waits for, and between two looks.
const lookAgain = 3 * time.Second

// sayWhatItWaitsFor says once, while somebody waits for a task, that nobody is there to run it.
func (p *program) sayWhatItWaitsFor(ctx context.Context, log *eventlog.Log, id string) {
	for ctx.Err() == nil {
		pause.For(ctx, lookAgain)
		t, err := log.Task(ctx, id)
		if err != nil {
			continue // Wait tells
		}
		if why := whatItWaitsFor(ctx, log, t); why != "" && ctx.Err() == nil {
			p.warn(fmt.Errorf("%s waits on: %s", id, why))
			return
		}
	}
}

// whatItWaitsFor says what a task lacks to run, or "" where nothing is known to be amiss.
func whatItWaitsFor(ctx context.Context, log *eventlog.Log, t events.Task) string {
	switch t.State {
	case events.StateWaiting, events.StateDue:
		part := log.Of(t.ID)
		paused, err := log.Conn().View.SIsMember(ctx, part.Paused, t.Queue).Result()
		if err == nil && paused {
			return fmt.Sprintf("queue %s is paused; tasklog resume %s ends that", t.Queue, t.Queue)
		}
		workers, err := log.Present(ctx, part)
		if err != nil {
			return ""
		}
		now, err := log.Now(ctx)
		if err != nil || slices.ContainsFunc(workers, func(w eventlog.Presence) bool { return w.Serves(t.Queue, now) }) {
			return ""
		}
		return fmt.Sprintf("no worker serves queue %s; start one with \"tasklog worker\"", t.Queue)
	case events.StateRetrying:
		last := t
		last.Events = t.Events[len(t.Events)-1:]
		history, err := log.History(ctx, last)
		if err != nil || len(history) == 0 {
			return ""
		}
		if d, ok := history[0].Data.(events.TaskReleased); ok && d.Reason == events.ReasonNoHandler {
			return fmt.Sprintf("worker %s has no handler for %s; start one that has", d.Worker, t.Name)
		}
	default: // it runs, or is to run later
	}
	return ""
}
