package own

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// near is how far, in the time of the log, a version may be behind its end when it is to be served: under load
// the end is always a moment ahead.
const near = time.Second

// CaughtUp reports whether a version has come near the end of the log in every partition.
func (s *Store) CaughtUp(ctx context.Context, k Kept) (bool, error) {
	for _, p := range s.log.Partitions() {
		h, err := s.Head(ctx, p, k)
		if errors.Is(err, ErrUnusable) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		info, err := s.log.Info(ctx, p)
		if err != nil || info.Last.Ms-h.Checkpoint.Ms > near.Milliseconds() {
			return false, err
		}
	}
	return true, nil
}

// Head reads what is known of a version in a partition. It returns ErrNone when there is none.
func (s *Store) Head(ctx context.Context, p eventlog.Partition, k Kept) (Head, error) {
	values, err := s.rdb.HMGet(ctx, k.keys(p).head, headFields...).Result()
	if err != nil {
		return Head{}, fmt.Errorf("read view %s of partition %d: %w", k, p.N, unusable(err))
	}
	h, err := parseHead(values)
	if err != nil {
		return Head{}, fmt.Errorf("read view %s of partition %d: %w", k, p.N, err)
	}
	return h, nil
}

//go:embed swap.lua
var swapSource string

var swapScript = redis.NewScript(swapSource)

// Swap serves a version from now on and reports true, unless it or a greater one is served already. It is for the
// caller to know that it has caught up.
func (s *Store) Swap(ctx context.Context, k Kept) (bool, error) {
	return s.swap(ctx, s.log.Partitions()[0], k)
}

func (s *Store) swap(ctx context.Context, p eventlog.Partition, k Kept) (bool, error) {
	swapped, err := swapScript.Run(ctx, s.rdb, []string{viewKey(p, k.Name)}, k.Version).Bool()
	if err != nil {
		return false, fmt.Errorf("serve view %s of partition %d: %w", k, p.N, err)
	}
	return swapped, nil
}

//go:embed drop.lua
var dropSource string

var dropScript = redis.NewScript(dropSource)

// Sweep ends the versions of a view that are over, because a greater one is served, in every partition, and
// removes all of their keys.
func (s *Store) Sweep(ctx context.Context, served Kept) error {
	for _, p := range s.log.Partitions() {
		if _, err := s.swap(ctx, p, served); err != nil {
			return err
		}
		kept, err := s.kept(ctx, p)
		if err != nil {
			return err
		}
		for _, k := range kept {
			if k.Name != served.Name || k.Version >= served.Version {
				continue
			}
			if err := dropScript.Run(ctx, s.rdb, k.keys(p).list(), k.reader(), 0).Err(); err != nil {
				return fmt.Errorf("sweep view %s of partition %d: %w", k, p.N, err)
			}
		}
	}
	return nil
}

// kept returns every version of every view in a partition, in the order of names and versions.
func (s *Store) kept(ctx context.Context, p eventlog.Partition) ([]Kept, error) {
	readers, err := s.rdb.HKeys(ctx, p.Readers).Result()
	if err != nil {
		return nil, fmt.Errorf("list the views of partition %d: %s: %w", p.N, p.Readers, err)
	}
	var list []Kept
	for _, reader := range readers {
		if k, ok := parseReader(reader); ok {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, compare)
	return list, nil
}

// List returns every version of every view that is kept somewhere, in the order of names and versions.
func (s *Store) List(ctx context.Context) ([]Kept, error) {
	var all []Kept
	for _, p := range s.log.Partitions() {
		list, err := s.kept(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, compare)
	return slices.Compact(all), nil
}

// ErrNotFound reports that there is no such view.
var ErrNotFound = errors.New("there is no such view")

// KeptError reports that a view cannot be removed, because a program keeps it.
type KeptError struct {
	View Kept
	Left time.Duration // until this is looked at again, if that program is silent
}

// Error says what to do.
func (e *KeptError) Error() string {
	return fmt.Sprintf("a program keeps view %s: stop it first; one that was killed is believed to run for another %s",
		e.View, e.Left.Round(time.Millisecond))
}

// Remove removes every version of a view with all of its keys. It returns a *KeptError when a program keeps one:
// then some of the others may be gone. It returns ErrNotFound when there is nothing of the view.
func (s *Store) Remove(ctx context.Context, name string) error {
	removed, err := s.remove(ctx, func(k Kept) bool { return k.Name == name })
	if err != nil {
		return err
	}
	for _, p := range s.log.Partitions() { // last: whoever is killed before finds the view again
		n, err := s.rdb.Unlink(ctx, viewKey(p, name)).Result()
		if err != nil {
			return fmt.Errorf("remove view %s of partition %d: %w", name, p.N, err)
		}
		removed += int(n)
	}
	if removed == 0 {
		return fmt.Errorf("remove view %s: %w", name, ErrNotFound)
	}
	return nil
}

// RemoveVersion removes a version that is not served, such as one that nobody makes any more. Its errors are those
// of Remove, and an *events.FieldError for the version that is served.
func (s *Store) RemoveVersion(ctx context.Context, k Kept) error {
	served, err := s.Served(ctx, k.Name)
	if err != nil {
		return err
	}
	if served == k.Version {
		return &events.FieldError{Field: "version", Reason: fmt.Sprintf("%d is the one that is served: only the whole view can be removed", served)}
	}
	removed, err := s.remove(ctx, func(have Kept) bool { return have == k })
	if err == nil && removed == 0 {
		err = fmt.Errorf("remove view %s: %w", k, ErrNotFound)
	}
	return err
}

// remove removes the versions that are chosen, and returns how many it found.
func (s *Store) remove(ctx context.Context, chosen func(Kept) bool) (found int, err error) {
	for _, p := range s.log.Partitions() {
		kept, err := s.kept(ctx, p)
		if err != nil {
			return found, err
		}
		for _, k := range kept {
			if !chosen(k) {
				continue
			}
			left, err := dropScript.Run(ctx, s.rdb, k.keys(p).list(), k.reader(), 1).Int64()
			if err != nil {
				return found, fmt.Errorf("remove view %s of partition %d: %w", k, p.N, err)
			}
			if left > 0 {
				return found, &KeptError{View: k, Left: time.Duration(left) * time.Millisecond}
			}
			found++
		}
	}
	return found, nil
}

// Behind returns how many entries of a partition are not in a view yet.
func (s *Store) Behind(ctx context.Context, p eventlog.Partition, h Head) (int64, error) {
	info, err := s.log.Info(ctx, p)
	switch {
	case err != nil:
		return 0, err
	case info.Last.Compare(h.Checkpoint) <= 0:
		return 0, nil
	case info.Added < 0: // this Redis does not say how many there ever were
		return max(1, info.Length-h.Read), nil
	}
	return max(1, info.Added-h.Read-h.Missed), nil
}

func compare(a, b Kept) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
}
