package eventlog

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
)

//go:embed announce.lua
var announceSource string

var announceScript = newUngated(announceSource)

// Presence is what a worker says of itself. It is not in the log: a worker says it again every few
// seconds, and is gone when it stops.
type Presence struct {
	Worker      string   `json:"worker"` // its id
	Host        string   `json:"host"`
	PID         int      `json:"pid"`
	Version     string   `json:"version"`
	Queues      []string `json:"queues"` // empty: all
	Concurrency int      `json:"concurrency"`
	Running     int      `json:"running"`
	StartedAt   int64    `json:"startedAt"`        // ms, by the worker's clock
	SeenAt      int64    `json:"seenAt,omitempty"` // ms, by Redis' clock; set by Announce
}

// away is how long after its last announcement, which it makes every 5 s, a worker counts as gone.
const away = 15 * time.Second

// There reports whether the worker was heard of lately. now is Redis' clock.
func (w Presence) There(now time.Time) bool { return w.silent(now) < away }

// Serves reports whether the worker is there and takes tasks of a queue. now is Redis' clock.
func (w Presence) Serves(queue string, now time.Time) bool {
	return w.There(now) && (len(w.Queues) == 0 || slices.Contains(w.Queues, queue))
}

func (w Presence) silent(now time.Time) time.Duration { return now.Sub(time.UnixMilli(w.SeenAt)) }

// Announce tells every partition that a worker is there.
func (l *Log) Announce(ctx context.Context, w Presence) error {
	w.SeenAt = 0
	rest, err := events.Fragment(w)
	if err != nil {
		return fmt.Errorf("announce worker %s: %w", w.Worker, err)
	}
	for _, p := range l.parts {
		if _, err := decide(ctx, l.conn.Lease, announceScript, []string{p.Workers}, w.Worker, rest); err != nil {
			return fmt.Errorf("announce worker %s: %w", w.Worker, err)
		}
	}
	return nil
}

// Leave takes a worker off the list of those that are there.
func (l *Log) Leave(ctx context.Context, worker string) error {
	for _, p := range l.parts {
		if err := l.conn.Lease.HDel(ctx, p.Workers, worker).Err(); err != nil {
			return fmt.Errorf("sign off worker %s: %w", worker, err)
		}
	}
	return nil
}

// Present returns the workers of a partition that announced themselves, also those that are
// silent since: compare SeenAt with Redis' clock. An entry that is not a Presence is passed over.
func (l *Log) Present(ctx context.Context, p Partition) ([]Presence, error) {
	all, err := l.conn.View.HVals(ctx, p.Workers).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	workers := make([]Presence, 0, len(all))
	for _, v := range all {
		var w Presence
		if json.Unmarshal([]byte(v), &w) == nil && w.Worker != "" {
			workers = append(workers, w)
		}
	}
	return workers, nil
}

// Dismiss takes workers off the list of a partition that have been silent for so long, and returns their ids: those that
// were killed and did not come back. One that was only cut off is on the list again with its next announcement.
func (l *Log) Dismiss(ctx context.Context, p Partition, silence time.Duration) ([]string, error) {
	present, err := l.Present(ctx, p)
	if err != nil || len(present) == 0 {
		return nil, err
	}
	now, err := l.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("dismiss workers: %w", err)
	}
	var gone []string
	for _, w := range present {
		if w.silent(now) > silence {
			gone = append(gone, w.Worker)
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	if err := l.conn.Lease.HDel(ctx, p.Workers, gone...).Err(); err != nil {
		return nil, fmt.Errorf("dismiss %d workers: %w", len(gone), err)
	}
	return gone, nil
}
