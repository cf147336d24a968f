package main

import (
	"context"
	"errors"
	"time"
)

// errNone says that a side does not have what a row measures.
var errNone = errors.New("it has no such thing")

// A side is a queue on a Redis of its own: Tasklog, in this process, or a peer. Its tasks carry 100 bytes
// and do nothing. Every row is written once, against this.
type side interface {
	// enqueue asks for tasks, one per call, and returns when all are taken.
	enqueue(ctx context.Context, l load) error
	// bulk asks for n tasks, a thousand at once.
	bulk(ctx context.Context, n int) error
	// pace asks for tasks at a rate. Each carries when it is due.
	pace(ctx context.Context, p pace) error
	// attend starts what must run beside workers.
	attend(ctx context.Context) error
	// work starts one worker, which runs so many tasks at once.
	work(ctx context.Context, concurrency int) error
	// begun returns when so many handlers have begun since the start.
	begun(ctx context.Context, n int) error
	// finished returns when so many tasks are completed since the start.
	finished(ctx context.Context, n int) error
	// settled returns when all that follows from finished tasks is done, too.
	settled(ctx context.Context) error
	// late returns by how many milliseconds each handler of a paced task began after its time.
	late(ctx context.Context) ([]float64, error)
	// serve starts the HTTP API, and nothing else, and returns the URL to which a task is posted.
	serve(ctx context.Context) (string, error)
	// cpu is what the processes of this side have used.
	cpu() (time.Duration, error)
	close()
}

// load is what enqueue is told.
type load struct {
	N       int  `json:"n"`
	Callers int  `json:"callers"`
	Keep    bool `json:"keep"` // the tasks, when they are completed, where that must be said
}

// pace is what pace is told: a task is due between so many milliseconds after it was asked for.
type pace struct {
	N      int `json:"n"`
	PerSec int `json:"perSec"`
	FromMs int `json:"fromMs"`
	ToMs   int `json:"toMs"`
}

// delay is after how long the task with a number is due: spread evenly, and out of order.
func (p pace) delay(i int) time.Duration {
	if p.ToMs <= p.FromMs {
		return time.Duration(p.FromMs) * time.Millisecond
	}
	return time.Duration(p.FromMs+i*7919%(p.ToMs-p.FromMs)) * time.Millisecond
}

// A system is what opens sides.
type system struct {
	name string
	open func(ctx context.Context, srv *server) (side, error)
}
