package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/client"
)

// deep compares how fast tasks are worked off while a tenth of the tasks waits, and while ten times as many do.
// The two take turns, so that a slow spell of the machine meets both.
func (b bench) deep(ctx context.Context, _ side, _ *server) (figures, error) {
	few, err := b.rate(ctx, b.tasks/10)
	if err != nil {
		return nil, err
	}
	many, err := b.rate(ctx, 10*b.tasks)
	if err != nil {
		return nil, err
	}
	return figures{"tasksPerSec": many, "ratio": many / few}, nil
}

// rate tells how fast the first tasks of n that wait are worked off: those between a hundredth and nine hundredths
// of -tasks, so that neither the start nor the end of the few counts.
func (b bench) rate(ctx context.Context, n int) (float64, error) {
	srv, err := startServer(ctx, false)
	if err != nil {
		return 0, err
	}
	defer srv.stop()
	t, err := newTasklog(ctx, srv)
	if err != nil {
		return 0, err
	}
	defer t.close()
	if err := t.attend(ctx); err != nil {
		return 0, err
	}
	if err := t.bulk(ctx, n); err != nil {
		return 0, err
	}
	if err := t.settled(ctx); err != nil {
		return 0, err
	}
	if err := t.work(ctx, b.concurrency); err != nil {
		return 0, err
	}
	if err := t.begun(ctx, b.tasks/100); err != nil {
		return 0, err
	}
	from, began := t.handlers.Load(), time.Now()
	if err := t.begun(ctx, 9*b.tasks/100); err != nil {
		return 0, err
	}
	return float64(t.handlers.Load()-from) / time.Since(began).Seconds(), nil
}

// priorities is how many the tasks have that are due at once.
const priorities = 10

// due lets ten times as many tasks come due in one millisecond, of ten priorities, while every service runs. It tells
// for how long a script held Redis at the most from then on, how many attempts were lost, and how many tasks
// began when a thousand more urgent ones had not.
func (b bench) due(ctx context.Context, s side, srv *server) (figures, error) {
	t, n := s.(*tasklog), 10*b.tasks
	if err := start(ctx, t, b.concurrency); err != nil {
		return nil, err
	}
	// A hundredth, due at once, tells how long it takes to ask for all; half of that again is for slow spells.
	began, some := time.Now(), n/100
	if err := t.bulk(ctx, some); err != nil {
		return nil, err
	}
	if err := t.finished(ctx, some); err != nil {
		return nil, err
	}
	at := time.Now().Add(time.Second + 150*time.Since(began)).Truncate(time.Millisecond)
	err := t.many(ctx, n, func(i int) client.Task {
		return client.Task{Name: "noop", Payload: payload, Priority: i * 7 % priorities, RunAt: at}
	})
	if err != nil {
		return nil, err
	}
	if err := srv.rdb.ConfigSet(ctx, "slowlog-log-slower-than", "1000").Err(); err != nil {
		return nil, err
	}
	if err := srv.rdb.ConfigSet(ctx, "slowlog-max-len", "100000").Err(); err != nil {
		return nil, err
	}
	if late := time.Since(at); late > 0 {
		return nil, fmt.Errorf("the tasks were due %s before all were asked for: the machine is too slow, lower -tasks", late)
	}
	if err := t.finished(ctx, some+n); err != nil {
		return nil, err
	}
	took := time.Since(at)
	longest, err := longestScript(ctx, srv)
	if err != nil {
		return nil, err
	}
	lost, outOfOrder, err := disorder(ctx, t.log)
	if err != nil {
		return nil, err
	}
	return figures{
		"tasksPerSec": float64(n) / took.Seconds(), "longestScriptMs": longest, "lost": lost, "outOfOrder": outOfOrder,
	}, nil
}

// longestScript returns for how many milliseconds the slowest script of the SLOWLOG ran.
func longestScript(ctx context.Context, srv *server) (ms float64, err error) {
	slow, err := srv.rdb.SlowLogGet(ctx, -1).Result()
	if err != nil {
		return 0, err
	}
	for _, s := range slow {
		if len(s.Args) > 0 && strings.HasPrefix(strings.ToLower(s.Args[0]), "eval") {
			ms = max(ms, float64(s.Duration.Microseconds())/1000)
		}
	}
	return ms, nil
}

// disorder reads the log and counts the attempts that failed, and the tasks that became due while a
// thousand of a more urgent priority had still to.
func disorder(ctx context.Context, log *eventlog.Log) (lost, outOfOrder float64, err error) {
	priority := map[string]int{}
	var left [priorities]int // that are not due
	p := log.Partitions()[0]
	for after := (events.ID{}); ; {
		entries, err := log.Range(ctx, p, after, events.MaxID, 1000)
		if err != nil || len(entries) == 0 {
			return lost, outOfOrder, err
		}
		for _, e := range entries {
			if e.Err != nil {
				return 0, 0, e.Err
			}
			after = e.ID
			switch d := e.Data.(type) {
			case events.TaskRequested:
				priority[e.Task] = d.Priority
				left[d.Priority]++
			case events.TaskDue:
				mine := priority[e.Task]
				urgent := 0
				for _, more := range left[:mine] {
					urgent += more
				}
				if left[mine]--; urgent > 1000 {
					outOfOrder++
				}
			case events.TaskFailed:
				lost++
			default:
			}
		}
	}
}
