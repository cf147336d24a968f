package views

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Store keeps the views of a log. Its methods may be called from many goroutines.
//
// An error of a method that writes means unknown: load the views again and go on from there.
type Store struct {
	log *eventlog.Log
	rdb redis.UniversalClient
}

// New returns the views of a log.
func New(log *eventlog.Log) *Store { return &Store{log: log, rdb: log.Conn().View} }

// ErrMoved reports that another projector stored views of this partition, or is about to. Nothing was
// stored.
var ErrMoved = errors.New("another projector moved the views")

// ErrUnusable reports that there are no stored views, or broken ones, or of another version. A
// projector makes them again with Reset.
var ErrUnusable = errors.New("no usable views are stored")

// ErrVersion is the ErrUnusable of views that a program of another version keeps.
var ErrVersion = fmt.Errorf("%w: another version", ErrUnusable)

// ErrNone is the ErrUnusable of a log that nobody has projected yet.
var ErrNone = fmt.Errorf("%w: none", ErrUnusable)

// layout is the version of the keys and of head. It changes when they do.
const layout = 2

// Head is what is known of the stored views of a partition.
type Head struct {
	Generation int64     // tells the views before and after a reset or a swap apart
	Index      int64     // the generation that the keys of the index are of
	Checkpoint events.ID // everything up to here is in the views
	Read       int64     // entries folded or skipped
	Skipped    int64     // of these, entries that are no events
	Missed     int64     // entries that were removed from the log before they were read
	swept      int64     // nothing is left of other generations than this one
}

// headFields are the fields of head, in the order in which parseHead takes them.
var headFields = []string{"version", "generation", "checkpoint", "read", "skipped", "missed", "swept", "index"}

func parseHead(values []any) (h Head, err error) {
	var s [8]string
	for i := range min(len(values), len(s)) {
		s[i], _ = values[i].(string)
	}
	if s[0] == "" {
		return h, ErrNone
	}
	if s[0] != version() {
		return h, fmt.Errorf("%w: they are of %q, and this program knows %q", ErrVersion, s[0], version())
	}
	if h.Checkpoint, err = events.ParseID(s[2]); err != nil {
		return h, fmt.Errorf("%w: checkpoint: %w", ErrUnusable, err)
	}
	for i, dst := range map[int]*int64{1: &h.Generation, 3: &h.Read, 4: &h.Skipped, 5: &h.Missed, 6: &h.swept, 7: &h.Index} {
		if *dst, err = strconv.ParseInt(s[i], 10, 64); err != nil {
			return h, fmt.Errorf("%w: %s %q: %w", ErrUnusable, headFields[i], s[i], err)
		}
	}
	return h, nil
}

//go:embed lease.lua
var leaseSource string

var leaseScript = redis.NewScript(leaseSource)

// Lease takes or extends the lease of a partition for a projector, for ttl from now. While another
// holds it, Lease returns how long that has still to run, and 0 otherwise.
func (s *Store) Lease(ctx context.Context, p eventlog.Partition, owner string, ttl time.Duration) (time.Duration, error) {
	return s.lease(ctx, p, owner, ttl, 0)
}

// Extend is Lease of an owner that has it: it returns ErrMoved when another one does.
func (s *Store) Extend(ctx context.Context, p eventlog.Partition, owner string, ttl time.Duration) error {
	left, err := s.Lease(ctx, p, owner, ttl)
	if err == nil && left > 0 {
		return ErrMoved
	}
	return err
}

// Seize takes the lease from whoever holds it: views then stand still until ttl from now, or Release.
func (s *Store) Seize(ctx context.Context, p eventlog.Partition, owner string, ttl time.Duration) error {
	_, err := s.lease(ctx, p, owner, ttl, 1)
	return err
}

func (s *Store) lease(ctx context.Context, p eventlog.Partition, owner string, ttl time.Duration, force int) (time.Duration, error) {
	left, err := hold(ctx, s.rdb, p.View("lease"), owner, ttl, force)
	if err != nil {
		return 0, fmt.Errorf("lease the views of partition %d: %w", p.N, err)
	}
	return left, nil
}

// Hold takes, extends or, with a ttl of 0, gives back the lease that a key holds. While another owner has it,
// Hold returns how long that has still to run, and 0 otherwise.
func Hold(ctx context.Context, rdb redis.Scripter, key, owner string, ttl time.Duration) (time.Duration, error) {
	return hold(ctx, rdb, key, owner, ttl, 0)
}

func hold(ctx context.Context, rdb redis.Scripter, key, owner string, ttl time.Duration, force int) (time.Duration, error) {
	left, err := leaseScript.Run(ctx, rdb, []string{key}, owner, ttl.Milliseconds(), force).Int64()
	return time.Duration(left) * time.Millisecond, err
}

// Release gives the lease back, if owner holds it.
func (s *Store) Release(ctx context.Context, p eventlog.Partition, owner string) error {
	_, err := s.Lease(ctx, p, owner, 0)
	return err
}

//go:embed reset.lua
var resetSource string

var resetScript = redis.NewScript(resetSource)

// Reset throws the views of a partition away and starts a new generation of them at the beginning of
// the log. It takes the lease, or returns ErrMoved while another holds it.
func (s *Store) Reset(ctx context.Context, p eventlog.Partition, owner string, ttl time.Duration) (*Fold, error) {
	generation, err := s.generation(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("reset the views of partition %d: %w", p.N, err)
	}
	f := newFold(p)
	keys := []string{p.View("head"), p.View("lease"), shadowKey(p, generation)}
	for _, v := range f.views() {
		keys = append(keys, p.View(v.Name()))
	}
	answer, err := resetScript.Run(ctx, s.rdb, keys, owner, ttl.Milliseconds(), version(), generation).Text()
	if err != nil {
		return nil, fmt.Errorf("reset the views of partition %d: %w", p.N, err)
	}
	if answer != "ok" {
		return nil, fmt.Errorf("reset the views of partition %d: %w: %s", p.N, ErrMoved, answer)
	}
	f.Generation, f.Index = generation, generation
	return f, nil
}

// Load returns the stored views of a partition. It returns ErrUnusable when they must be reset.
func (s *Store) Load(ctx context.Context, p eventlog.Partition) (*Fold, error) {
	f := newFold(p)
	var head *redis.SliceCmd
	var hashes []*redis.MapStringStringCmd
	_, err := eventlog.Together(ctx, s.rdb, func(tx redis.Pipeliner) error {
		head, hashes = tx.HMGet(ctx, p.View("head"), headFields...), nil
		for _, v := range f.views() {
			hashes = append(hashes, tx.HGetAll(ctx, p.View(v.Name())))
		}
		return nil
	})
	if err := unusable(err); err != nil {
		return nil, fmt.Errorf("load the views of partition %d: %w", p.N, err)
	}
	if f.Head, err = parseHead(head.Val()); err != nil {
		return nil, fmt.Errorf("load the views of partition %d: %w", p.N, err)
	}
	for i, v := range f.views() {
		if err := v.Load(hashes[i].Val()); err != nil {
			return nil, fmt.Errorf("load the views of partition %d: %w: %s: %w", p.N, ErrUnusable, v.Name(), err)
		}
	}
	f.stored = f.Checkpoint
	return f, nil
}

// unusable makes an error that says that a key is not what we wrote an ErrUnusable.
func unusable(err error) error {
	if err != nil && strings.Contains(err.Error(), "WRONGTYPE") {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return err
}
