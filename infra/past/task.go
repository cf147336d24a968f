package past

import (
	"context"
	"errors"
	"fmt"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Task returns a task as it was at an instant, and the entries of the life that it had then, up to the instant. An
// entry that is no event, or that the task could not take, has an Err and changes nothing.
//
// It returns an eventlog.ErrNotFound when there was no such task, which is an *UnknownError when entries were removed
// from the log, and an *UncoveredError when its first events are among these. A task whose row is gone is found through the
// snapshots; one that the views of the past have forgotten, too, for so much came after it, is found by reading
// the log from its beginning if deep says so, and else not at all.
func (s *Store) Task(ctx context.Context, id string, until events.ID, deep bool) (events.Task, []eventlog.Entry, error) {
	entries, err := s.life(ctx, id, until, deep)
	if errors.Is(err, eventlog.ErrNotFound) {
		err = s.unknown(ctx, id)
	}
	if err != nil {
		return events.Task{}, nil, fmt.Errorf("task %s at %s: %w", id, events.FormatInstant(until), err)
	}
	var t events.Task
	for i, e := range entries {
		if e.Err != nil {
			continue
		}
		next, err := t.Evolve(e.Event)
		if err != nil {
			entries[i].Err = err
			continue
		}
		t = next
	}
	if t.State == events.StateNone {
		return t, nil, fmt.Errorf("task %s at %s: %w", id, events.FormatInstant(until), s.unknown(ctx, id))
	}
	return t, entries, nil
}

// unknown returns the error about a task of which nothing was found.
func (s *Store) unknown(ctx context.Context, id string) error {
	if events.ValidateName("id", id) != nil {
		return eventlog.ErrNotFound
	}
	removed, err := s.log.Removed(ctx, s.log.Of(id))
	switch {
	case err != nil:
		return err
	case removed > 0:
		return &UnknownError{removed}
	}
	return eventlog.ErrNotFound
}

// begins returns an error when the entries of a task do not begin with the first one that it had.
func (s *Store) begins(ctx context.Context, p eventlog.Partition, entries []eventlog.Entry, first events.ID) error {
	if len(entries) > 0 && entries[0].ID == first {
		return nil
	}
	e := &UncoveredError{Partition: p.N}
	var err error
	if e.Removed, err = s.log.Removed(ctx, p); err != nil {
		return err
	}
	if e.First, err = s.firstAfter(ctx, p, events.ID{}); err != nil {
		return err
	}
	return e
}

// life returns the entries of the life that a task had at an instant, up to that.
func (s *Store) life(ctx context.Context, id string, until events.ID, deep bool) ([]eventlog.Entry, error) {
	if events.ValidateName("id", id) != nil {
		return nil, eventlog.ErrNotFound // it must not become part of a key
	}
	t, err := s.log.Task(ctx, id)
	if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
		return nil, err
	}
	if err == nil && len(t.Events) > 0 && t.Events[0].Compare(until) <= 0 { // the row names them
		entries, err := s.log.History(ctx, t)
		if err == nil {
			err = s.begins(ctx, s.log.Of(id), entries, t.Events[0])
		}
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			if e.ID.Compare(until) > 0 {
				return entries[:i], nil
			}
		}
		return entries, nil
	}
	p := s.log.Of(id)
	m, err := s.Moment(ctx, p, until)
	if err != nil {
		return nil, err
	}
	place, found := m.Place(id)
	switch {
	case found && !place.Requested.IsZero():
		entries, err := s.between(ctx, p, id, place.Requested, place.At)
		if err == nil {
			err = s.begins(ctx, p, entries, place.Requested)
		}
		return entries, err
	case found || deep:
		return s.between(ctx, p, id, events.ID{}, until)
	}
	return nil, eventlog.ErrNotFound
}

// between reads the entries of the life that a task had last, from one entry to another.
func (s *Store) between(ctx context.Context, p eventlog.Partition, id string, from, to events.ID) ([]eventlog.Entry, error) {
	var list []eventlog.Entry
	for entries, err := range s.log.ReadAhead(ctx, p, from.Prev(), to, page) {
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Err != nil || e.Task != id {
				continue
			}
			if _, requested := e.Data.(events.TaskRequested); requested {
				list = list[:0]
			}
			list = append(list, e)
		}
	}
	return list, nil
}
