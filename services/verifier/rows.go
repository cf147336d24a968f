package verifier

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/audit"
)

// maxSuspects bounds how many tasks, and how many places, are looked at again.
const maxSuspects = 20_000

// suspects are what looked different from what the log says.
type suspects struct {
	tasks   map[string]bool
	strays  map[place]bool  // in ledgers, and not where their tasks can be
	dropped int64           // there were too many
	queues  map[string]bool // that have keys
}

func newSuspects() *suspects {
	return &suspects{tasks: map[string]bool{}, strays: map[place]bool{}, queues: map[string]bool{}}
}

func (s *suspects) stray(at place) {
	if len(s.strays) >= maxSuspects {
		s.dropped++
		return
	}
	s.strays[at] = true
}

func (s *suspects) add(task string) {
	if len(s.tasks) >= maxSuspects && !s.tasks[task] {
		s.dropped++
		return
	}
	s.tasks[task] = true
}

const scanPage = 1000 // keys

// rows holds every row against the log, and finds the queues that have keys.
func (v *partition) rows(ctx context.Context, s *suspects) error {
	base := strings.TrimSuffix(v.part.Task(""), "task:")
	v.audit.Unmark()
	tasks := v.audit.Tasks()
	v.cfg.Progress("comparing", 0, tasks)
	for cursor := uint64(0); ; {
		keys, next, err := v.log.Scan(ctx, v.part, "", cursor, scanPage)
		if err != nil {
			return err
		}
		var ids []string
		for _, key := range keys {
			key = strings.TrimPrefix(key, base)
			if id, ok := strings.CutPrefix(key, "task:"); ok {
				ids = append(ids, id)
			} else if q, ok := strings.CutPrefix(key, "waiting:"); ok {
				s.queues[q] = true
			} else if q, ok := strings.CutPrefix(key, "due:"); ok {
				s.queues[q] = true
			}
		}
		if err := v.page(ctx, ids, s); err != nil {
			return err
		}
		v.cfg.Progress("comparing", min(v.compared.Rows, tasks), tasks)
		if cursor = next; cursor == 0 {
			break
		}
	}
	return v.missing(ctx, s)
}

// page compares the rows of some tasks.
func (v *partition) page(ctx context.Context, ids []string, s *suspects) error {
	rows := make([]*redis.MapStringStringCmd, len(ids))
	if len(ids) > 0 {
		_, err := v.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i, id := range ids {
				rows[i] = pipe.HGetAll(ctx, v.part.Task(id))
			}
			return nil
		})
		if eventlog.Unavailable(err) || ctx.Err() != nil {
			return err // any other error is one of a row
		}
	}
	if err := v.catchUp(ctx); err != nil {
		return err
	}
	for i, id := range ids {
		v.compared.Rows++
		v.audit.Mark(id)
		t, known := v.audit.Task(id)
		if known && row(id, rows[i].Val(), t) == "" {
			continue
		}
		if !known && v.older(id, rows[i].Val()) {
			continue
		}
		s.add(id)
	}
	return nil
}

// older reports that a row is of a task whose events were all removed from the log.
func (v *partition) older(id string, fields map[string]string) bool {
	t, err := eventlog.Row(id, fields)
	return err == nil && v.begin.removed() > 0 && t.Events[len(t.Events)-1].Compare(v.begin.First) < 0
}

// missing suspects the tasks that have no row.
func (v *partition) missing(ctx context.Context, s *suspects) error {
	now, err := v.log.Now(ctx)
	if err != nil {
		return err
	}
	v.now = now.UnixMilli()
	if err := v.learn(ctx); err != nil {
		return err
	}
	var over []events.ID // of tasks that are over only the newest event is known
	old, many := 0, 0
	for id, t := range v.audit.Unseen() {
		switch {
		case v.old(t):
			old++
		case v.tooMany(t):
			many++
		case id != "":
			s.add(id)
		case len(over) < maxSuspects:
			over = append(over, t.Last)
		default:
			s.dropped++
		}
	}
	if old > 0 {
		v.note("%d tasks ended more than %s ago, and their rows are gone", old, v.log.Retention())
	}
	if many > 0 {
		v.note("%d more tasks are over, and their rows are gone: their queues had too many", many)
	}
	return v.named(ctx, over, s.add)
}

// old reports that the row of a task may be gone because the task has been over for long.
func (v *partition) old(t audit.Summary) bool {
	return t.State.Final() && t.Last.Ms+v.log.Retention().Milliseconds() <= v.now
}

// tooMany reports that the row of a task may be gone because its queue had too many.
func (v *partition) tooMany(t audit.Summary) bool {
	return t.State.Final() && v.retiredBy(t.Queue, t.Last)
}

// named calls f with the tasks of some events.
func (v *partition) named(ctx context.Context, entries []events.ID, f func(task string)) error {
	for _, id := range entries {
		found, err := v.log.Range(ctx, v.part, id.Prev(), id, 1)
		if err != nil {
			return err
		}
		for _, e := range found {
			f(e.Task)
		}
	}
	return nil
}
