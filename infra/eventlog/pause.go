package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

//go:embed pause.lua
var pauseSource string

var pauseScript = newScript(pauseSource)

// Pause appends QueuePaused in every partition: nothing of the queue becomes due until Resume.
// What is due or runs goes on. It reports whether anything changed. Where an answer is lost it looks in the log
// before it asks again, and lets a queue alone that was paused or resumed since: whoever did that knew.
func (l *Log) Pause(ctx context.Context, queue, by string) (bool, error) {
	return l.setPaused(ctx, queue, events.QueuePaused{Label: events.Label{Queue: queue}, By: by})
}

// Resume appends QueueResumed in every partition. It reports whether anything changed, and repeats itself as Pause does.
func (l *Log) Resume(ctx context.Context, queue, by string) (bool, error) {
	return l.setPaused(ctx, queue, events.QueueResumed{Label: events.Label{Queue: queue}, By: by})
}

// HasQueue reports whether a task was ever asked for in a queue, or the queue ever paused.
func (l *Log) HasQueue(ctx context.Context, queue string) (bool, error) {
	asked := make([]*redis.BoolCmd, len(l.parts))
	_, err := l.conn.View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, p := range l.parts {
			asked[i] = pipe.SIsMember(ctx, p.Queues, queue)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("look for queue %s: %w", queue, err)
	}
	return slices.ContainsFunc(asked, (*redis.BoolCmd).Val), nil
}

func (l *Log) setPaused(ctx context.Context, queue string, d events.Data) (changed bool, err error) {
	typ, _, body, err := events.Encode(d)
	if err != nil {
		return false, err
	}
	for _, p := range l.parts {
		turned, err := l.turn(ctx, p, queue, typ, string(body))
		if err != nil {
			return changed, fmt.Errorf("%s %s in partition %d: %w", typ, queue, p.N, err)
		}
		changed = changed || turned
	}
	return changed, nil
}

// turn pauses or resumes a queue in one partition.
func (l *Log) turn(ctx context.Context, p Partition, queue string, typ events.Type, body string) (changed bool, err error) {
	began, err := repeated(ctx, func() (events.ID, error) { return l.Last(ctx, p) })
	if err != nil {
		return false, err
	}
	keys := []string{p.Events, p.Paused, p.Ready, p.Waiting(queue), p.Queues}
	asked := false
	return repeated(ctx, func() (bool, error) {
		if asked {
			if last, err := l.lastTurn(ctx, p, queue, began); err != nil || last != "" {
				return last == typ, err
			}
		}
		asked = true
		r, err := ask(ctx, l.conn.Decide, pauseScript, keys, []any{queue, string(typ), body, p.Signals})
		return r.int(0) == 1, err
	})
}

// lastTurn returns the type of the last event after an id that paused or resumed a queue, or "".
func (l *Log) lastTurn(ctx context.Context, p Partition, queue string, after events.ID) (last events.Type, err error) {
	for page, err := range l.ReadAhead(ctx, p, after, events.MaxID, turnPage) {
		if err != nil {
			return "", err
		}
		for _, e := range page {
			if e.Err == nil && e.Task == "" && e.Data.About().Queue == queue {
				last = e.Data.Type()
			}
		}
	}
	return last, nil
}

const turnPage = 1000 // entries that are looked at at once, at the most
