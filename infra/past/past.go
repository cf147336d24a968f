package past

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/asof"
)

// Store answers questions about the past of a log. Its methods may be called from many goroutines.
type Store struct {
	log *eventlog.Log
	rdb redis.UniversalClient
}

// New returns the past of a log.
func New(log *eventlog.Log) *Store { return &Store{log: log, rdb: log.Conn().View} }

// Moment is a partition as it was after an entry.
type Moment struct {
	*asof.View
	After events.ID // the last entry that was read; the zero ID before all
}

// Add counts the next entry.
func (m *Moment) Add(e eventlog.Entry) {
	m.After = e.ID
	if e.Err != nil {
		m.Skipped++
		return
	}
	m.Apply(e.Event)
}

// UncoveredError reports an instant that cannot be told, because entries before it are not there any more.
type UncoveredError struct {
	Partition int
	Removed   int64     // entries of the partition that are not there any more; 0: Redis does not say how many
	First     events.ID // the first entry that is left: from then on the log can tell; zero: none is
}

// Error says from when on the log can tell.
func (e *UncoveredError) Error() string {
	left := "nothing is left"
	if !e.First.IsZero() {
		left = fmt.Sprintf("what is left begins at %s (%s)", e.First, e.First.Time().Format(events.TimeLayout))
	}
	removed := "entries"
	if e.Removed > 0 {
		removed = fmt.Sprintf("%d entries", e.Removed)
	}
	return fmt.Sprintf("partition %d: %s were removed, and %s: that instant cannot be told, "+
		"unless they are in an archive that TASKLOG_ARCHIVE or --archive names", e.Partition, removed, left)
}

// UnknownError is an eventlog.ErrNotFound about a log that is not whole: what was asked for may have been in what is gone.
type UnknownError struct {
	Removed int64 // entries that are not there any more, at least 1
}

// Error says what is not there.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s, or its events are among the %d entries that were removed from the log: "+
		"TASKLOG_ARCHIVE or --archive names an archive that has them", eventlog.ErrNotFound, e.Removed)
}

// Is makes an UnknownError an eventlog.ErrNotFound.
func (e *UnknownError) Is(target error) bool { return target == eventlog.ErrNotFound }

// At returns how all partitions together stood at an instant, which is over.
func (s *Store) At(ctx context.Context, until events.ID) (*asof.View, error) {
	sum := new(asof.View)
	for _, p := range s.log.Partitions() {
		m, err := s.Moment(ctx, p, until)
		if err != nil {
			return nil, err
		}
		sum.Merge(m.View)
	}
	return sum, nil
}

// Between returns how all partitions together stood at two instants, the first of which comes first. What lies
// between them is read once.
func (s *Store) Between(ctx context.Context, from, to events.ID) (before, after *asof.View, err error) {
	before, after = new(asof.View), new(asof.View)
	for _, p := range s.log.Partitions() {
		m, err := s.Moment(ctx, p, from)
		if err != nil {
			return nil, nil, err
		}
		before.Merge(m.View)
		base, err := s.Nearest(ctx, p, to)
		if err != nil {
			return nil, nil, err
		}
		if base.After.Compare(m.After) <= 0 {
			base = m // merging has copied it
		}
		if err := s.foldOn(ctx, p, &base, to); err != nil {
			return nil, nil, err
		}
		after.Merge(base.View)
	}
	return before, after, nil
}

// Moment returns how a partition stood at an instant.
func (s *Store) Moment(ctx context.Context, p eventlog.Partition, until events.ID) (Moment, error) {
	m, err := s.Nearest(ctx, p, until)
	if err != nil {
		return m, err
	}
	return m, s.foldOn(ctx, p, &m, until)
}

// Nearest returns the newest usable snapshot of a partition that is not after an instant; where there is none, the
// beginning of the log. Missed says whether the log goes on from there.
func (s *Store) Nearest(ctx context.Context, p eventlog.Partition, until events.ID) (Moment, error) {
	for before := until; ; {
		list, err := s.List(ctx, p, before, listed)
		if err != nil {
			return Moment{}, err
		}
		for _, id := range list {
			v, err := s.get(ctx, p, id)
			if err == nil {
				return Moment{v, id}, nil
			}
			if !errors.Is(err, errUnusable) {
				return Moment{}, err
			}
			before = id.Prev()
		}
		if len(list) == 0 {
			return Moment{View: new(asof.View)}, nil
		}
	}
}

// foldOn reads on from a moment up to an instant.
func (s *Store) foldOn(ctx context.Context, p eventlog.Partition, m *Moment, until events.ID) error {
	if err := s.NoteGap(ctx, p, m, until); err != nil {
		return err
	}
	for entries, err := range s.log.ReadAhead(ctx, p, m.After, until, page) {
		if err != nil {
			return err
		}
		for _, e := range entries {
			m.Add(e)
		}
	}
	return nil
}

const page = 1000 // entries read at a time

// NoteGap looks whether entries are missing that came right after a moment, and notes in Missed how many entries the
// log misses then. It returns an *UncoveredError when the first that is there lies after an instant.
func (s *Store) NoteGap(ctx context.Context, p eventlog.Partition, m *Moment, until events.ID) error {
	removed, err := s.log.Removed(ctx, p)
	if err != nil || removed == 0 {
		return err
	}
	info, err := s.log.Info(ctx, p)
	if err != nil {
		return err
	}
	trimmed, _, err := s.log.Trimmed(ctx, p)
	if err != nil {
		return err
	}
	// What came after an entry is there when that itself is, or was the last that Trim took.
	goesOn := m.After == trimmed || info.First.Compare(m.After) <= 0
	if !m.After.IsZero() && goesOn && m.After.Compare(trimmed) >= 0 && info.Deleted.Compare(m.After) <= 0 {
		return nil
	}
	first, err := s.firstAfter(ctx, p, m.After)
	if err != nil {
		return err
	}
	if first.IsZero() || first.Compare(until) > 0 {
		return &UncoveredError{Partition: p.N, Removed: removed, First: first}
	}
	m.Missed = removed
	return nil
}

// firstAfter returns the id of the first entry after another that is there; the zero ID when none is.
func (s *Store) firstAfter(ctx context.Context, p eventlog.Partition, after events.ID) (events.ID, error) {
	list, err := s.log.Range(ctx, p, after, events.MaxID, 1)
	if err != nil || len(list) == 0 {
		return events.ID{}, err
	}
	return list[0].ID, nil
}
