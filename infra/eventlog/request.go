package eventlog

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
)

//go:embed request.lua
var requestSource string

var requestScript = newScript(requestSource)

// Request asks for a task. The caller has validated it: see events.ValidateName and
// events.Definition.Validate.
type Request struct {
	Task string // its id
	events.Label
	events.Definition               // RequestID: a fresh token where Task is the client's own id, else empty
	Delay             time.Duration // from now, by Redis' clock
	RunAt             time.Time     // instead of Delay, unless zero; one that is past means now
}

// Receipt tells what became of a Request.
type Receipt struct {
	Task      string
	Queue     string
	State     events.State // of the task now: a duplicate may be long done
	DueAt     int64        // ms
	Event     events.ID    // of TaskRequested
	Duplicate bool         // the task was there before: nothing was appended
}

// Request appends TaskRequested, unless a task with that id exists: then it answers with that one.
func (l *Log) Request(ctx context.Context, r Request) (Receipt, error) {
	label, err := l.labels.encode(r.Label)
	if err != nil {
		return Receipt{}, fmt.Errorf("request task %s: %w", r.Task, err)
	}
	def, err := events.Fragment(r.Definition)
	if err != nil {
		return Receipt{}, fmt.Errorf("request task %s: %w", r.Task, err)
	}
	runAt := ""
	if !r.RunAt.IsZero() {
		runAt = itoa(r.RunAt.Add(time.Millisecond - 1).UnixMilli()) // never early
	}
	p := l.Of(r.Task)
	create := func() *group {
		return &group{
			log: l, script: requestScript, args: []any{r.Queue, p.Signals},
			keys: []string{p.Events, p.Delayed, p.Waiting(r.Queue), p.Ready, p.Queues},
		}
	}
	a, err := l.requests.decide(ctx, p.base+r.Queue, create, []string{p.Task(r.Task)},
		r.Task, r.RequestID, itoa(ms(r.Delay+time.Millisecond-1)), runAt, itoa(int64(r.Priority)), label, def)
	if err != nil {
		return Receipt{}, fmt.Errorf("request task %s: %w", r.Task, err)
	}
	return Receipt{
		Task: r.Task, Duplicate: a.int(0) == 1, State: events.State(a.str(1)),
		DueAt: a.int(2), Event: a.id(3), Queue: a.str(4),
	}, nil
}
