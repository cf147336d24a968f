package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
)

//go:embed extend.lua
var extendSource string

var extendScript = newScript(extendSource)

// Extend moves the end of leases and locks to lease from now, by Redis' clock, for attempts of one
// partition, at most MaxItems/2. It returns for each attempt nil, or an ErrFenced when it no longer
// holds its task. An error means unknown: call it again.
func (l *Log) Extend(ctx context.Context, p Partition, lease time.Duration, attempts []Attempt) ([]error, error) {
	keys := make([]string, 0, 1+2*len(attempts))
	keys = append(keys, p.Leases)
	args := make([]any, 0, 1+3*len(attempts))
	args = append(args, ms(lease))
	for _, a := range attempts {
		keys = append(keys, p.Task(a.Task), p.Lock(a.Task))
		args = append(args, a.Task, a.Number, a.Token)
	}
	r, err := decide(ctx, l.conn.Lease, extendScript, keys, args...)
	if err != nil {
		return nil, fmt.Errorf("extend %d leases: %w", len(attempts), err)
	}
	answers := make([]error, len(attempts))
	for i := range attempts {
		switch state := r.str(i + 1); state {
		case "": // extended
		case "missing":
			answers[i] = &FencedError{}
		default:
			answers[i] = &FencedError{State: events.State(state), Attempt: attempts[i].Number}
		}
	}
	return answers, nil
}
