package view

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views/own"
	"github.com/tasklog/tasklog/projections"
)

// View is a type V whose pointer P can be kept. The zero V is empty. A V belongs to one partition of the log;
// what of all partitions is read is merged.
type View[V any, P any] interface {
	*V
	projections.View
	// Merge adds the state of another partition.
	Merge(other P)
}

// Config chooses the log. The zero Config is good.
type Config struct {
	// Prefix is that of the log. Empty means "tasklog".
	Prefix string
	// Older is where events are read that were trimmed from Redis, such as an archive. Nil means nowhere: a new
	// view then begins with the oldest event that Redis has, and says how many it missed.
	Older eventlog.Older
}

// VersionError reports that a view is served in a greater version than the program has.
type VersionError = own.VersionError

// FoldError reports that a view panicked, and at which entry of the log.
type FoldError = own.FoldError

// KeptError reports that a view was not removed, because a program keeps it.
type KeptError = own.KeptError

// ErrNotFound reports that there is no such view.
var ErrNotFound = own.ErrNotFound

// ErrUnusable reports that a stored view is broken, or is not what its type can load.
var ErrUnusable = own.ErrUnusable

// Store is the own views of a log. It may be used from many goroutines.
type Store struct {
	log   *eventlog.Log
	own   *own.Store
	slog  *slog.Logger
	owned *eventlog.Conn // closed with the store; nil when the caller opened the log
}

// Connect opens the log at a Redis URL (redis://, rediss://, unix://). What it keeps logs to slog.Default. It
// fails when Redis does not answer; see eventlog.Unavailable.
func Connect(ctx context.Context, url string, cfg Config) (*Store, error) {
	conn, err := eventlog.Connect(url)
	if err != nil {
		return nil, err
	}
	log, err := eventlog.Open(ctx, conn, eventlog.Config{Prefix: cfg.Prefix})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if cfg.Older != nil {
		log.Attach(cfg.Older)
	}
	s := New(log, slog.Default())
	s.owned = conn
	return s, nil
}

// New returns the own views of a log that the caller opened and will close, after the last call.
func New(log *eventlog.Log, logger *slog.Logger) *Store {
	return &Store{log: log, own: own.New(log), slog: logger}
}

// Close closes what Connect opened. It is for after the last call has returned.
func (s *Store) Close() error {
	if s.owned == nil {
		return nil
	}
	return s.owned.Close()
}

// Freshness says what was read of a view, and how much it knows.
type Freshness struct {
	// Version is that of what was read: less than the view's own while that is made, 0 when nobody has kept the
	// view yet.
	Version int
	Newest  time.Time // of the newest event in the view, UTC; zero when there is none
	Behind  int64     // entries of the log that are not in the view yet
	Skipped int64     // entries of the log that are no events
	Missed  int64     // entries that had been trimmed before they were read: the view is not of all events
}

// Read merges every partition of a stored view into an empty one.
//
// While a newer version is made, the one that is served is read, as far as the type can load its fields, and
// Freshness says which that was. Read returns a *VersionError when a greater version than the view's is
// served, and an ErrUnusable for fields that it cannot load.
func Read[V any, P View[V, P]](ctx context.Context, s *Store, into P) (Freshness, error) {
	k := own.Kept{Name: into.Name(), Version: into.Version()}
	if err := k.Validate(); err != nil {
		return Freshness{}, err
	}
	for empty := *into; ; {
		served, err := s.own.Served(ctx, k.Name)
		if err != nil {
			return Freshness{}, err
		}
		if served > k.Version {
			return Freshness{}, &VersionError{View: k.Name, Served: served, Own: k.Version}
		}
		read := own.Kept{Name: k.Name, Version: served}
		parts := make([]P, 0, len(s.log.Partitions()))
		fresh := Freshness{Version: served}
		for _, p := range s.log.Partitions() {
			v := empty
			f, err := s.own.Load(ctx, p, read, P(&v))
			if errors.Is(err, own.ErrNone) {
				f, err = &own.Fold{}, nil // nobody has begun with this partition yet
			}
			if err == nil {
				err = s.add(ctx, &fresh, p, f.Head)
			}
			if err != nil {
				return Freshness{}, err
			}
			parts = append(parts, &v)
		}
		again, err := s.own.Served(ctx, k.Name)
		if err != nil {
			return Freshness{}, err
		}
		if again != served {
			continue // what was read may have been swept meanwhile
		}
		for _, v := range parts {
			into.Merge(v)
		}
		return fresh, nil
	}
}

// add takes one partition into a Freshness.
func (s *Store) add(ctx context.Context, f *Freshness, p eventlog.Partition, h own.Head) error {
	behind, err := s.own.Behind(ctx, p, h)
	if err != nil {
		return err
	}
	f.Behind += behind
	f.Skipped += h.Skipped
	f.Missed += h.Missed
	if t := h.Checkpoint.Time(); !h.Checkpoint.IsZero() && t.After(f.Newest) {
		f.Newest = t
	}
	return nil
}

// Info is a version of a view that is kept.
type Info struct {
	Name string
	Freshness
	Served      bool        // readers see this version
	Checkpoints []events.ID // by partition: up to where the log is in the view
}

// List returns every version of every own view, in the order of names and versions.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	kept, err := s.own.List(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Info, 0, len(kept))
	for _, k := range kept {
		served, err := s.own.Served(ctx, k.Name)
		if err != nil {
			return nil, err
		}
		i := Info{Name: k.Name, Freshness: Freshness{Version: k.Version}, Served: served == k.Version}
		for _, p := range s.log.Partitions() {
			h, err := s.own.Head(ctx, p, k)
			if err != nil && !errors.Is(err, ErrUnusable) {
				return nil, err
			}
			if err := s.add(ctx, &i.Freshness, p, h); err != nil {
				return nil, err
			}
			i.Checkpoints = append(i.Checkpoints, h.Checkpoint)
		}
		list = append(list, i)
	}
	return list, nil
}

// Remove removes a view, in every version, and lets the log be trimmed without it. It returns a *KeptError while a
// program keeps the view, and ErrNotFound when there is none of that name.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := (own.Kept{Name: name, Version: 1}).Validate(); err != nil {
		return err
	}
	return s.own.Remove(ctx, name)
}

// RemoveVersion removes one version of a view that was begun and will not be finished. Its errors are those of
// Remove, and an *events.FieldError for the version that is served.
func (s *Store) RemoveVersion(ctx context.Context, name string, version int) error {
	k := own.Kept{Name: name, Version: version}
	if err := k.Validate(); err != nil {
		return err
	}
	return s.own.RemoveVersion(ctx, k)
}

// copies makes views out of an empty one.
func copies[V any, P View[V, P]](empty P) func() projections.View {
	return func() projections.View {
		v := *empty
		return P(&v)
	}
}

// Keep follows the log with a view until ctx ends, and then returns nil. While Redis is away it waits and goes on.
// Any number of programs may keep the same view. empty is copied for each partition, and stays empty.
//
// Keep returns an *events.FieldError for a name or a version that cannot be, a *VersionError when a greater
// version is served, now or later, and a *FoldError when the view panics.
func Keep[V any, P View[V, P]](ctx context.Context, s *Store, empty P) error {
	k := own.Kept{Name: empty.Name(), Version: empty.Version()}
	if err := k.Validate(); err != nil {
		return fmt.Errorf("keep a view: %w", err)
	}
	return s.keep(ctx, k, copies(empty))
}
