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

// Requested is what became of one of many requests.
type Requested struct {
	Receipt
	Err error
}

// Request appends TaskRequested, unless a task with that id exists: then it answers with that one.
func (l *Log) Request(ctx context.Context, r Request) (Receipt, error) {
	a := l.RequestMany(ctx, []Request{r})[0]
	return a.Receipt, a.Err
}

// RequestMany is Request for each of many, and answers each, in order. Their events lie in their order in
// each partition. One that is wrong spoils no other; when Redis is not available, all after the first one of
// a partition that was not taken were not taken either.
func (l *Log) RequestMany(ctx context.Context, rs []Request) []Requested {
	items, errs := make([]*item, len(rs)), make([]error, len(rs))
	asked := make([][]*item, len(l.parts))
	for i, r := range rs {
		p := l.Of(r.Task)
		if items[i], errs[i] = l.item(ctx, p, r); errs[i] == nil {
			asked[p.N] = append(asked[p.N], items[i])
		}
	}
	for n, p := range l.parts {
		if len(asked[n]) == 0 {
			continue
		}
		name, overlaps := p.base, len(asked[n]) == 1
		if !overlaps {
			name += " in order"
		}
		l.requests.put(name, func() *group {
			return &group{
				log: l, script: requestScript, args: []any{p.Signals}, keys: []string{p.Events, p.Delayed, p.Ready, p.Queues}, overlaps: overlaps,
			}
		}, asked[n]...)
	}
	answers := make([]Requested, len(rs))
	for i, r := range rs {
		var a reply
		if errs[i] == nil {
			a, errs[i] = items[i].wait(ctx)
		}
		if errs[i] != nil {
			answers[i].Err = fmt.Errorf("request task %s: %w", r.Task, errs[i])
			continue
		}
		answers[i].Receipt = Receipt{
			Task: r.Task, Duplicate: a.int(0) == 1, State: events.State(a.str(1)),
			DueAt: a.int(2), Event: a.id(3), Queue: a.str(4),
		}
	}
	return answers
}

// item is what the script gets for one request.
func (l *Log) item(ctx context.Context, p Partition, r Request) (*item, error) {
	label, err := l.labels.encode(r.Label)
	if err != nil {
		return nil, err
	}
	def, err := events.Fragment(r.Definition)
	if err != nil {
		return nil, err
	}
	runAt := ""
	if !r.RunAt.IsZero() {
		runAt = itoa(r.RunAt.Add(time.Millisecond - 1).UnixMilli()) // never early
	}
	return newItem(ctx, []string{p.Task(r.Task), p.Waiting(r.Queue)}, []string{
		r.Task, r.Queue, r.RequestID, itoa(ms(r.Delay + time.Millisecond - 1)), runAt, itoa(int64(r.Priority)), label, def,
	}), nil
}
