package views

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Shadow is views of a partition that are made beside those that are stored, and that nobody reads before they
// are swapped in. It is for one goroutine.
//
// After ErrMoved it is of no use, and to be dropped. After any other error the same call goes on where it was.
type Shadow struct {
	*Fold
	store   *Store
	fields  map[string]map[string]string // view → field → JSON, as far as Gather took them
	pieces  []operations                 // to be written
	written int64                        // pieces
	last    time.Time                    // when Redis heard of us
	old     standing
	swap    []string // the keys of Swap, once all is there: then it is only asked again
}

// standing is where stored views stand, whatever program stored them: "" where that cannot be said.
type standing struct{ generation, checkpoint string }

const (
	// shadowTTL is for how long a shadow is kept that is not written: a replay that was killed leaves one.
	shadowTTL = time.Minute
	// keepAlive is when it must be written, be there much to write or not.
	keepAlive = 10 * time.Second
)

func shadowKey(p eventlog.Partition, generation int64) string {
	return p.View("shadow:" + strconv.FormatInt(generation, 10))
}

//go:embed begin.lua
var beginSource string

var beginScript = redis.NewScript(beginSource)

// generation takes a generation that was never used: it is a time, and greater than that of the stored views.
// So where head was lost, too, nothing that was written for an older one is taken for new.
func (s *Store) generation(ctx context.Context, p eventlog.Partition) (int64, error) {
	now, err := s.log.Now(ctx)
	if err != nil {
		return 0, err
	}
	for generation := now.UnixMilli(); ; {
		keys := []string{p.View("head"), shadowKey(p, generation)}
		next, err := beginScript.Run(ctx, s.rdb, keys, generation, shadowTTL.Milliseconds()).Int64()
		if err != nil || next == 0 {
			return generation, err
		}
		generation = next
	}
}

// Shadow begins views of a partition, at the beginning of the log.
func (s *Store) Shadow(ctx context.Context, p eventlog.Partition) (*Shadow, error) {
	generation, err := s.generation(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("begin views of partition %d: %w", p.N, err)
	}
	f := newFold(p)
	f.Generation, f.Index, f.maxMoved = generation, generation, maxGathered
	return &Shadow{Fold: f, store: s, fields: map[string]map[string]string{}, last: time.Now()}, nil
}

// Stale reports that Redis has not heard of the shadow for so long that it is to be written now.
func (s *Shadow) Stale() bool { return time.Since(s.last) > keepAlive }

//go:embed shadow.lua
var shadowSource string

var shadowScript = redis.NewScript(shadowSource)

// Write brings the index of the shadow up to what was added.
func (s *Shadow) Write(ctx context.Context) error {
	var list operations
	list.index(s.Fold)
	s.Tasks.Told()
	return s.write(ctx, list)
}

// write writes operations in pieces that Redis is done with in some ms, after those that an error left.
func (s *Shadow) write(ctx context.Context, list operations) error {
	var piece operations
	size := 0
	for _, op := range list {
		if size += len(op.args); size > maxArgs && len(piece) > 0 {
			s.pieces = append(s.pieces, piece)
			piece, size = nil, len(op.args)
		}
		piece = append(piece, op)
	}
	s.pieces = append(s.pieces, piece) // an empty one says that we are there
	for len(s.pieces) > 0 {
		keys, args := s.pieces[0].script([]string{shadowKey(s.part, s.Generation)}, []any{shadowTTL.Milliseconds(), s.written + 1})
		answer, err := shadowScript.Run(ctx, s.store.rdb, keys, args...).Text()
		if err := unusable(err); err != nil {
			return fmt.Errorf("write views of partition %d up to %s: %w", s.part.N, s.Checkpoint, err)
		}
		if answer != "ok" {
			return fmt.Errorf("write views of partition %d up to %s: %w: the shadow is gone", s.part.N, s.Checkpoint, ErrMoved)
		}
		s.written++
		s.last = time.Now()
		s.pieces = s.pieces[1:]
	}
	return nil
}

// Old returns the stored views, which the shadow is to take the place of; ErrUnusable when these are of no use
// to us. They must not move before Swap: see Seize.
func (s *Shadow) Old(ctx context.Context) (Stored, error) {
	s.old = standing{}
	values, err := s.store.rdb.HMGet(ctx, s.part.View("head"), "generation", "checkpoint").Result()
	if err := unusable(err); err != nil && !errors.Is(err, ErrUnusable) {
		return Stored{}, fmt.Errorf("read the views of partition %d: %w", s.part.N, err)
	}
	if len(values) == 2 {
		s.old.generation, _ = values[0].(string)
		s.old.checkpoint, _ = values[1].(string)
	}
	return s.store.Stored(ctx, s.part)
}

// Gather returns the fields of all views as they are after what was added. They are not to be changed.
func (s *Shadow) Gather(ctx context.Context) (map[string]map[string]string, error) {
	if err := s.Write(ctx); err != nil { // taking the fields forgets which tasks moved
		return nil, err
	}
	s.Fields(s.fields)
	return s.fields, nil
}

//go:embed swap.lua
var swapSource string

var swapScript = redis.NewScript(swapSource)

// Swap puts the shadow in the place of the views that Old returned, in one step. With only, the name of a view,
// it is this one alone: the others, the checkpoint and the counts stay, so the shadow must stand where they do.
//
// A projector that was at it is told ErrMoved, and goes on from the new ones. ErrMoved here says that the stored
// views are not those of Old any more: nothing was changed.
func (s *Shadow) Swap(ctx context.Context, only string) error {
	if s.swap == nil {
		if err := s.complete(ctx, only); err != nil {
			return err
		}
	}
	head := []any{"generation", s.Generation, "swept", 0}
	if only == "" || only == s.Tasks.Name() {
		head = append(head, "index", s.Index)
	}
	whole := 0
	if only == "" {
		whole = 1
		head = append(head, "version", version(), "checkpoint", s.Checkpoint.String(), "read", s.Read, "skipped", s.Skipped, "missed", s.Missed)
	}
	args := append([]any{s.Generation, s.written, s.old.generation, s.old.checkpoint, whole}, head...)
	answer, err := swapScript.Run(ctx, s.store.rdb, s.swap, args...).Text()
	if err != nil {
		return fmt.Errorf("swap in the views of partition %d at %s: %w", s.part.N, s.Checkpoint, err)
	}
	if answer != "ok" {
		return fmt.Errorf("swap in the views of partition %d at %s: %w", s.part.N, s.Checkpoint, ErrMoved)
	}
	return nil
}

// complete writes what the shadow still lacks.
func (s *Shadow) complete(ctx context.Context, only string) error {
	fields, err := s.Gather(ctx)
	if err != nil {
		return err
	}
	var list operations
	marker := shadowKey(s.part, s.Generation)
	keys := []string{s.part.View("head"), marker}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if only != "" && name != only {
			continue
		}
		set := make([]any, 0, 2*len(fields[name]))
		for field, value := range fields[name] {
			set = append(set, field, value)
		}
		list.add("HSET", marker+":"+name, set)
		keys = append(keys, marker+":"+name, s.part.View(name))
	}
	err = s.write(ctx, list)
	if err == nil {
		s.swap = keys
	}
	return err
}

// Drop gives the shadow up. What is left of it is swept.
func (s *Shadow) Drop(ctx context.Context) error {
	return s.store.rdb.Del(ctx, shadowKey(s.part, s.Generation)).Err()
}

// Views are the names of the views that every log has.
func Views() (names []string) {
	for _, v := range BuiltIn() {
		names = append(names, v.Name())
	}
	return names
}

// Target returns up to where the log is to be read before the stored views can be compared with a shadow: where
// they stand, or the end of the log where they are of no use or past it.
func (s *Store) Target(ctx context.Context, p eventlog.Partition) (events.ID, error) {
	end, err := s.log.Last(ctx, p)
	if err != nil {
		return end, fmt.Errorf("find the end of partition %d: %w", p.N, err)
	}
	at, err := s.Checkpoint(ctx, p)
	if errors.Is(err, ErrUnusable) || err == nil && (at.IsZero() || end.Compare(at) < 0) {
		return end, nil
	}
	return at, err
}
