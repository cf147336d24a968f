package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

const (
	// janitorPage is how many entries the janitor reads at a time, at the most, and janitorRest how long it then
	// rests when there were fewer: nothing is urgent for it.
	janitorPage = 1000
	janitorRest = 3 * time.Second
)

// A janitor lets the rows of tasks of one partition go that are over, when their queue has too many. It reads the
// log, notes in Redis who is over, and looks at the queues in which somebody ended.
type janitor struct {
	*Scheduler
	part  eventlog.Partition
	pages *eventlog.Pages
	keep  int // rows of a queue

	at   events.ID            // up to here the log is noted
	look map[string]time.Time // queues that may have too many rows → when to look; nil: all that there are, now
}

func newJanitor(s *Scheduler, p eventlog.Partition) *janitor {
	parts := len(s.log.Partitions())
	return &janitor{Scheduler: s, part: p, pages: s.log.Pages(janitorPage), keep: (s.cfg.RetentionCount + parts - 1) / parts}
}

// run takes steps until ctx ends. Where any number of rows may stay, it puts away what a janitor left behind that had
// another setting.
func (j *janitor) run(ctx context.Context) {
	step := j.step
	if j.cfg.RetentionCount == 0 {
		step = func(ctx context.Context) (bool, error) { return false, j.log.Untally(ctx, j.part) }
	}
	for failures := 0; ctx.Err() == nil; {
		more, err := step(ctx)
		switch {
		case err != nil:
			j.failed(ctx, "janitor", j.part, failures, err)
			failures++
			continue
		case j.cfg.RetentionCount == 0:
			return
		case !more:
			pause.For(ctx, j.rest)
		}
		failures = 0
	}
}

// step notes a page of the log, which it waits for, and looks at the queues whose time has come. It reports
// whether there is more to do at once.
func (j *janitor) step(ctx context.Context) (more bool, err error) {
	if j.look == nil {
		if err := j.begin(ctx); err != nil {
			return false, err
		}
	}
	wait := eventlog.MaxBlock
	for _, at := range j.look {
		wait = min(wait, time.Until(at))
	}
	entries, more, err := j.pages.Follow(ctx, j.part, j.at, wait)
	if err != nil || ctx.Err() != nil {
		return false, err
	}
	err = j.note(ctx, entries)
	if errors.Is(err, eventlog.ErrTallied) {
		j.look = nil // begin where the other one is
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return more, j.retire(ctx)
}

// begin finds out where the notes end. Whoever made them may not have looked at any queue.
func (j *janitor) begin(ctx context.Context) error {
	at, err := j.log.Tallied(ctx, j.part)
	if err != nil {
		return err
	}
	queues, err := j.log.Conn().View.SMembers(ctx, j.part.Queues).Result()
	if err != nil {
		return err
	}
	j.at, j.look = at, make(map[string]time.Time, len(queues))
	for _, queue := range queues {
		j.look[queue] = time.Time{}
	}
	return nil
}

// note notes who is over by some entries. When there are none, it looks whether its notes still stand: they are thrown
// away when the state is made again.
func (j *janitor) note(ctx context.Context, entries []eventlog.Entry) error {
	if len(entries) == 0 {
		at, err := j.log.Tallied(ctx, j.part)
		if err == nil && at != j.at {
			err = eventlog.ErrTallied
		}
		return err
	}
	var list []eventlog.Ending
	for i, e := range entries {
		if d, ok := eventlog.NewEnding(e); ok {
			list = append(list, d)
		}
		if len(list) < eventlog.MaxItems && i < len(entries)-1 {
			continue
		}
		if err := j.log.Tally(ctx, j.part, j.at, e.ID, list); err != nil {
			return err
		}
		j.at = e.ID
		for _, d := range list {
			if _, looks := j.look[d.Queue]; !looks {
				j.look[d.Queue] = time.Time{}
			}
		}
		list = list[:0]
	}
	return nil
}

// retire looks at the queues whose time has come. One at which something is wrong must not stop the others.
func (j *janitor) retire(ctx context.Context) error {
	for queue, at := range j.look {
		for time.Until(at) <= 0 {
			r, err := j.log.Retire(ctx, j.part, queue, j.keep, j.young)
			if eventlog.Unavailable(err) || ctx.Err() != nil {
				return err
			}
			if err != nil {
				j.metrics.failures.WithLabelValues("janitor").Inc()
				j.slog.LogAttrs(ctx, slog.LevelWarn, "rows of a queue do not go",
					slog.String("queue", queue), slog.Int("partition", j.part.N), slog.Any("error", err))
				r = eventlog.Retired{More: true, Wait: time.Minute}
			}
			j.metrics.retired.Add(float64(r.Rows))
			if !r.More {
				delete(j.look, queue)
				break
			}
			at = time.Now().Add(r.Wait)
			j.look[queue] = at
		}
	}
	return nil
}
