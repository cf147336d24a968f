package main

import (
	"context"
	"fmt"
	"time"
)

// A row is one thing that is measured, each time on a new redis-server.
type row struct {
	kind, name string
	aof        bool // the Redis has an append-only file, flushed every second
	alone      bool // Tasklog only: no peer has it, or it takes minutes
	once       bool // one run tells as much as many
	run        func(ctx context.Context, s side, srv *server) (figures, error)
}

// rows lists what is measured, in the order in which it is.
func (b bench) rows() []row {
	named := fmt.Sprintf
	return []row{
		{kind: "floor", name: "floor: plain commands", alone: true, run: b.floor},
		{kind: "enqueue", name: "enqueue, one per call", run: b.enqueue},
		{kind: "bulk", name: "enqueue in bulk of 1000", run: b.bulk},
		{kind: "drain", name: named("drain of %d waiting", b.tasks/2), run: b.drain},
		{kind: "tasks", name: "end to end", run: b.endToEnd},
		{kind: "aof", name: "end to end, AOF everysec", aof: true, run: b.endToEnd},
		{kind: "immediate", name: "immediate, 500/s", run: b.immediate},
		{kind: "immediate-http", name: "immediate, 500/s over HTTP", alone: true, run: b.immediateHTTP},
		{kind: "delayed", name: "delayed 1–5 s", run: b.delayed},
		{kind: "waiting", name: "memory of a waiting task", run: b.memoryWaiting},
		{kind: "kept", name: "memory of a completed task", run: b.memoryKept},
		{kind: "http", name: "POST over HTTP, 64 connections", run: b.http},
		{kind: "idle", name: "idle", run: b.idle},
		{kind: "deep", name: named("drain with %d waiting against %d", 10*b.tasks, b.tasks/10), alone: true, run: b.deep},
		{kind: "due", name: named("%d due in one millisecond", 10*b.tasks), alone: true, once: true, run: b.due},
		{kind: "state", name: "replay --state, 4 events a task", alone: true, run: b.replayState},
		{kind: "replay", name: named("replay, %d events", 10*b.tasks), alone: true, run: bench{tasks: 10 * b.tasks / 4}.replayViews},
		{kind: "replay", name: named("replay, %d events", 40*b.tasks), alone: true, run: bench{tasks: 10 * b.tasks}.replayViews},
	}
}

// start starts all that is needed to run tasks.
func start(ctx context.Context, s side, concurrency int) error {
	if err := s.attend(ctx); err != nil {
		return err
	}
	return s.work(ctx, concurrency)
}

// around tells what was spent before and after do.
func around(ctx context.Context, s side, srv *server, do func() error) (before, after usage, err error) {
	if before, err = srv.spent(ctx, s); err != nil {
		return before, after, err
	}
	if err = do(); err != nil {
		return before, after, err
	}
	after, err = srv.spent(ctx, s)
	return before, after, err
}

// timed tells what n tasks take while do runs.
func timed(ctx context.Context, s side, srv *server, n int, do func() error) (figures, error) {
	before, after, err := around(ctx, s, srv, do)
	if err != nil {
		return nil, err
	}
	return per(n, before, after, after.at), nil
}

// spend tells what n tasks take while do runs, and what follows from them after it.
func spend(ctx context.Context, s side, srv *server, n int, do func() error) (figures, error) {
	var done time.Time
	before, after, err := around(ctx, s, srv, func() error {
		if err := do(); err != nil {
			return err
		}
		done = time.Now()
		return s.settled(ctx)
	})
	if err != nil {
		return nil, err
	}
	f := per(n, before, after, done)
	if _, ok := s.(*tasklog); ok { // no peer keeps views
		f["lagMs"] = float64(after.at.Sub(done).Microseconds()) / 1000
	}
	return f, nil
}

// enqueue asks for tasks, with no service running.
func (b bench) enqueue(ctx context.Context, s side, srv *server) (figures, error) {
	return timed(ctx, s, srv, b.tasks, func() error { return s.enqueue(ctx, load{N: b.tasks, Callers: b.callers}) })
}

func (b bench) bulk(ctx context.Context, s side, srv *server) (figures, error) {
	return timed(ctx, s, srv, b.tasks, func() error { return s.bulk(ctx, b.tasks) })
}

// drain works off half as many tasks, which were asked for before: with one worker. The views stand at
// what was asked for when that begins.
func (b bench) drain(ctx context.Context, s side, srv *server) (figures, error) {
	n := b.tasks / 2
	if err := s.attend(ctx); err != nil {
		return nil, err
	}
	if err := s.enqueue(ctx, load{N: n, Callers: b.callers}); err != nil {
		return nil, err
	}
	if err := s.settled(ctx); err != nil {
		return nil, err
	}
	return spend(ctx, s, srv, n, func() error {
		if err := s.work(ctx, b.concurrency); err != nil {
			return err
		}
		return s.finished(ctx, n)
	})
}

// endToEnd enqueues and works at once, with every service running, until all tasks are completed
// and the views have counted them.
func (b bench) endToEnd(ctx context.Context, s side, srv *server) (figures, error) {
	return b.through(ctx, s, srv, load{N: b.tasks, Callers: b.callers})
}

func (b bench) through(ctx context.Context, s side, srv *server, l load) (figures, error) {
	if err := start(ctx, s, b.concurrency); err != nil {
		return nil, err
	}
	return spend(ctx, s, srv, l.N, func() error {
		if err := s.enqueue(ctx, l); err != nil {
			return err
		}
		return s.finished(ctx, l.N)
	})
}

// memoryWaiting tells by how much Redis grows for a task that was asked for.
func (b bench) memoryWaiting(ctx context.Context, s side, srv *server) (figures, error) {
	return b.grown(ctx, srv, func(n int) error { return s.enqueue(ctx, load{N: n, Callers: b.callers}) })
}

// memoryKept tells by how much Redis grows for a task that is completed, with all that is kept of it.
func (b bench) memoryKept(ctx context.Context, s side, srv *server) (figures, error) {
	if err := start(ctx, s, b.concurrency); err != nil {
		return nil, err
	}
	total := 0
	return b.grown(ctx, srv, func(n int) error {
		total += n
		if err := s.enqueue(ctx, load{N: n, Callers: b.callers, Keep: true}); err != nil {
			return err
		}
		if err := s.finished(ctx, total); err != nil {
			return err
		}
		return s.settled(ctx)
	})
}

// grown tells by how much Redis grows for each task that do is told to bring, after it brought a hundredth as many:
// what there is once, such as scripts and connections, is there then.
func (b bench) grown(ctx context.Context, srv *server, do func(n int) error) (figures, error) {
	if err := do(b.tasks / 100); err != nil {
		return nil, err
	}
	before, err := srv.info(ctx, "memory", "used_memory")
	if err != nil {
		return nil, err
	}
	if err := do(b.tasks); err != nil {
		return nil, err
	}
	after, err := srv.info(ctx, "memory", "used_memory")
	if err != nil {
		return nil, err
	}
	return figures{"bytes": (after - before) / float64(b.tasks)}, nil
}

// idle tells what it takes to wait: a worker and what runs beside it have run some tasks, and rest.
func (b bench) idle(ctx context.Context, s side, srv *server) (figures, error) {
	if _, err := b.through(ctx, s, srv, load{N: 20, Callers: 1}); err != nil {
		return nil, err
	}
	rest := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d):
			return nil
		}
	}
	if err := rest(b.window / 2); err != nil { // what follows from the tasks is over then
		return nil, err
	}
	calls := func() (n float64, err error) {
		list, err := srv.commands(ctx)
		for _, c := range list {
			n += c.calls
		}
		return n, err
	}
	first, err := calls()
	if err != nil {
		return nil, err
	}
	before, after, err := around(ctx, s, srv, func() error { return rest(b.window) })
	if err != nil {
		return nil, err
	}
	last, err := calls()
	if err != nil {
		return nil, err
	}
	took := after.at.Sub(before.at)
	return figures{
		"commandsPerSec": (last - first) / took.Seconds(),
		"redisPercent":   100 * (after.redis - before.redis).Seconds() / took.Seconds(),
		"clientPercent":  100 * (after.client - before.client).Seconds() / took.Seconds(),
	}, nil
}
