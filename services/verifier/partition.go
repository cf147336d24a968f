package verifier

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/audit"
)

// partition proves one.
type partition struct {
	cfg   Config
	log   *eventlog.Log
	part  eventlog.Partition
	rdb   redis.UniversalClient
	store *views.Store

	audit *audit.Audit
	at    events.ID // entry that was read last
	begin stream    // as it was at the beginning
	now   int64     // ms, when the rows were compared

	retired map[string]events.ID // by queue: tasks that were over by then may have no row

	fold   *views.Fold                  // nil: the views cannot be made again
	fields map[string]map[string]string // of fold
	stored *views.Stored                // to be compared when fold gets there
	wrong  []Difference                 // in which the stored views differed the last time

	differences []Difference
	more        int64 // differences that are only counted
	compared    Compared
	notes       []string
}

func newPartition(log *eventlog.Log, p eventlog.Partition, cfg Config) *partition {
	return &partition{cfg: cfg, log: log, part: p, rdb: log.Conn().View, store: views.New(log)}
}

// run reads the log, then holds against it what lies beside it.
func (v *partition) run(ctx context.Context) error {
	var err error
	if v.begin, err = v.look(ctx); err != nil {
		return err
	}
	v.audit = audit.New(audit.Config{
		Limit: v.cfg.Limit, MaxPayload: v.cfg.MaxPayload, Trimmed: v.begin.removed() > 0, Undecodable: v.cfg.Undecodable,
		Retention: v.log.Retention(), Retired: v.retiredBy,
		Home: func(task string) bool { return v.log.Of(task).N == v.part.N },
	})
	if err := v.prepare(ctx); err != nil {
		return err
	}
	if err := v.follow(ctx, v.begin.Last, true); err != nil {
		return err
	}
	v.whole(ctx)
	if !v.cfg.Views {
		if err := v.state(ctx); err != nil {
			return err
		}
	}
	return v.views(ctx)
}

// state holds rows and ledgers against the log.
func (v *partition) state(ctx context.Context) error {
	suspects := newSuspects()
	if err := v.rows(ctx, suspects); err != nil {
		return err
	}
	if err := v.ledgers(ctx, suspects); err != nil {
		return err
	}
	return v.again(ctx, suspects)
}

// differ counts a difference.
func (v *partition) differ(key, format string, args ...any) {
	if len(v.differences) >= v.cfg.Limit {
		v.more++
		return
	}
	v.differences = append(v.differences, Difference{key, fmt.Sprintf(format, args...)})
}

func (v *partition) note(format string, args ...any) {
	v.notes = append(v.notes, fmt.Sprintf(format, args...))
}

// stream is what is known of the log itself.
type stream struct {
	eventlog.Info
	older int64 // entries that are in an archive instead
}

// removed is how many entries are gone.
func (s stream) removed() int64 { return max(0, s.Added-s.Length-s.older) }

// look asks about the log.
func (v *partition) look(ctx context.Context) (s stream, err error) {
	if s.Info, err = v.log.Info(ctx, v.part); err != nil {
		return s, err
	}
	s.older, err = v.log.Archived(ctx, v.part)
	return s, err
}

// whole judges whether something was removed from within the log.
func (v *partition) whole(context.Context) {
	if v.begin.Added < 0 {
		v.note("this Redis does not say whether entries were removed from the log")
		return
	}
	if v.begin.Length > 0 {
		v.audit.Check(audit.Whole, v.begin.Deleted, v.begin.Deleted.Compare(v.begin.First) < 0,
			"an entry was deleted, and older ones are there")
	}
	if n := v.begin.removed(); n > 0 {
		v.note("%d entries were removed from the log: tasks that began before are believed, and the views cannot be compared", n)
	}
}

const readPage = 1000 // entries

// follow reads the log to an entry, or to its end where that comes first, and judges it.
func (v *partition) follow(ctx context.Context, until events.ID, tell bool) error {
	if v.at.Compare(until) >= 0 {
		return nil
	}
	for entries, err := range v.log.ReadAhead(ctx, v.part, v.at, until, readPage) {
		if err != nil {
			return err
		}
		if err := v.learn(ctx); err != nil { // a task of this page may live again, for its row was too many
			return err
		}
		for _, e := range entries {
			v.apply(e)
		}
		if tell {
			v.cfg.Progress("reading", min(v.audit.Read(), v.begin.Length+v.begin.older), v.begin.Length+v.begin.older)
		}
	}
	return nil
}

// apply judges the next entry.
func (v *partition) apply(e eventlog.Entry) {
	v.meet(e.ID)
	v.at = e.ID
	if e.Err != nil {
		v.audit.Undecodable(e.ID, e.Err)
	} else {
		v.audit.Apply(e.Event)
	}
	if v.fold == nil {
		return
	}
	if v.fold.Full(e) {
		v.fold.Tasks.Told() // the index is compared by where tasks stand
	}
	v.fold.Add(e)
}

// learn asks which rows went by now because there were too many.
func (v *partition) learn(ctx context.Context) (err error) {
	v.retired, err = v.log.RetiredUpto(ctx, v.part)
	return err
}

// retiredBy reports that the row of a task that is over may have gone because there were too many.
func (v *partition) retiredBy(queue string, last events.ID) bool {
	return last.Compare(v.retired[queue]) <= 0
}

// catchUp reads what the log holds by now.
func (v *partition) catchUp(ctx context.Context) error { return v.follow(ctx, events.MaxID, false) }
