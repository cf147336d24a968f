package eventlog

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

//go:embed start.lua
var startSource string

var startScript = newScript(startSource)

// ErrLocked reports that somebody else holds the task's mutex. Nothing was recorded; it may be free later.
var ErrLocked = errors.New("the task's mutex is held by another")

// Attempt is a task in the hands of a worker, and what fences it.
type Attempt struct {
	Task   string
	Queue  string
	Number int       // the attempt
	Token  string    // the value of the mutex
	Worker string    // its id
	Entry  events.ID // in the dispatch stream of the queue; zero once started
}

// Started is what a worker needs to run an attempt.
type Started struct {
	events.Label
	events.Definition
	Attempts   int       // attempts that count, this one included
	DueAt      int64     // ms: since when the task could have run
	LeaseUntil int64     // ms of Redis' clock
	Event      events.ID // of TaskStarted
}

// Start takes the mutex of the task with the value a.Token, where it does not have that already, appends TaskStarted
// and opens the lease, which is as long as the mutex lives. It returns an ErrFenced when the dispatch entry is out of
// date (it is removed), and ErrLocked when somebody else holds the mutex.
func (l *Log) Start(ctx context.Context, a Attempt, lease time.Duration) (Started, error) {
	worker, err := events.Fragment(struct {
		Worker string `json:"worker"`
	}{a.Worker})
	if err != nil {
		return Started{}, fmt.Errorf("start task %s: %w", a.Task, err)
	}
	p := l.Of(a.Task)
	create := func() *group {
		return &group{
			log: l, script: startScript, args: []any{ms(lease), a.Worker, worker},
			keys: []string{p.Events, p.Leases, p.Due(a.Queue)},
		}
	}
	r, err := l.starts.decide(ctx, p.Due(a.Queue)+" "+itoa(ms(lease))+" "+a.Worker, create, []string{p.Task(a.Task), p.Lock(a.Task)},
		a.Task, itoa(int64(a.Number)), a.Token, a.Entry.String())
	if err != nil {
		return Started{}, fmt.Errorf("start task %s attempt %d: %w", a.Task, a.Number, err)
	}
	switch r.str(0) {
	case "locked":
		return Started{}, fmt.Errorf("start task %s attempt %d: %w", a.Task, a.Number, ErrLocked)
	case "stale":
		fenced := &FencedError{State: events.State(r.str(1)), Attempt: int(r.int(2))}
		return Started{}, fmt.Errorf("start task %s attempt %d: %w", a.Task, a.Number, fenced)
	}
	s := Started{Attempts: int(r.int(2)), DueAt: r.int(3), LeaseUntil: r.int(4), Event: r.id(5)}
	if s.Label, err = l.labels.decode(r.str(1)); err != nil {
		return Started{}, fmt.Errorf("start task %s: label in its row: %w", a.Task, err)
	}
	def := r.str(6)
	if def == "" { // it never changes, so that it can be read apart
		def, err = repeated(ctx, func() (string, error) { return l.conn.View.HGet(ctx, p.Task(a.Task), "def").Result() })
		if errors.Is(err, redis.Nil) {
			err = l.missing(ctx, p)
		}
		if err != nil {
			return Started{}, fmt.Errorf("start task %s attempt %d: its definition: %w", a.Task, a.Number, err)
		}
	}
	if err := events.ReadFragment(def, &s.Definition); err != nil {
		return Started{}, fmt.Errorf("start task %s: definition: %w", a.Task, err)
	}
	return s, nil
}
