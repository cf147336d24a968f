package eventlog

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/tasklog/tasklog/events"
)

//go:embed pause.lua
var pauseSource string

var pauseScript = newScript(pauseSource)

// Pause appends QueuePaused in every partition: nothing of the queue becomes due until Resume.
// What is due or runs goes on. It reports whether anything changed.
func (l *Log) Pause(ctx context.Context, queue, by string) (bool, error) {
	return l.setPaused(ctx, queue, events.QueuePaused{Label: events.Label{Queue: queue}, By: by})
}

// Resume appends QueueResumed in every partition. It reports whether anything changed.
func (l *Log) Resume(ctx context.Context, queue, by string) (bool, error) {
	return l.setPaused(ctx, queue, events.QueueResumed{Label: events.Label{Queue: queue}, By: by})
}

func (l *Log) setPaused(ctx context.Context, queue string, d events.Data) (changed bool, err error) {
	typ, _, body, err := events.Encode(d)
	if err != nil {
		return false, err
	}
	for _, p := range l.parts {
		keys := []string{p.Events, p.Paused, p.Ready, p.Waiting(queue), p.Queues}
		r, err := decide(ctx, l.conn.Decide, pauseScript, keys, queue, string(typ), string(body), p.Signals)
		if err != nil {
			return changed, fmt.Errorf("%s %s in partition %d: %w", typ, queue, p.N, err)
		}
		changed = changed || r.int(0) == 1
	}
	return changed, nil
}
