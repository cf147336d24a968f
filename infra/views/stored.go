package views

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/tasks"
)

// Stored is the views of a partition as Redis holds them, all at one moment.
type Stored struct {
	Head
	Fields map[string]map[string]string // view → field → JSON
}

// Stored reads the views of a partition. It returns ErrUnusable when they must be reset.
func (s *Store) Stored(ctx context.Context, p eventlog.Partition) (Stored, error) {
	var head *redis.SliceCmd
	hashes := map[string]*redis.MapStringStringCmd{}
	_, err := eventlog.Together(ctx, s.rdb, func(tx redis.Pipeliner) error {
		head = tx.HMGet(ctx, p.View("head"), headFields...)
		for _, v := range new(Fold).views() {
			hashes[v.Name()] = tx.HGetAll(ctx, p.View(v.Name()))
		}
		return nil
	})
	if err := unusable(err); err != nil {
		return Stored{}, fmt.Errorf("read the views of partition %d: %w", p.N, err)
	}
	h, err := parseHead(head.Val())
	if err != nil {
		return Stored{}, fmt.Errorf("read the views of partition %d: %w", p.N, err)
	}
	stored := Stored{Head: h, Fields: map[string]map[string]string{}}
	for name, hash := range hashes {
		stored.Fields[name] = hash.Val()
	}
	return stored, nil
}

// Begin returns views in memory that have folded nothing and are never stored.
func Begin(p eventlog.Partition) *Fold { return newFold(p) }

// Fields puts what changed since the last call into fields, as it would be stored, and forgets which tasks
// moved.
func (f *Fold) Fields(fields map[string]map[string]string) {
	for _, v := range f.views() {
		into := fields[v.Name()]
		if into == nil {
			into = map[string]string{}
			fields[v.Name()] = into
		}
		for field, value := range v.Changed() {
			if value == nil {
				delete(into, field)
			} else {
				into[field] = string(value)
			}
		}
	}
	f.Tasks.Told()
}

// Indexed is a task in the index, and the ms of its last change as the index has it.
type Indexed struct {
	Task string
	Ms   int64
}

const indexPage = 1000

// Index yields what the index of views, Head.Index, holds at a place, in no order. Where it changes
// meanwhile, tasks may be missing, or come twice. An error is the last thing yielded.
func (s *Store) Index(ctx context.Context, p eventlog.Partition, index int64, place tasks.Place) iter.Seq2[Indexed, error] {
	key := indexKey(p, index, place)
	if place.State == events.StateCompleted {
		return s.indexList(ctx, key)
	}
	return func(yield func(Indexed, error) bool) {
		for cursor := uint64(0); ; {
			page, next, err := s.rdb.ZScan(ctx, key, cursor, "", indexPage).Result()
			if err != nil {
				yield(Indexed{}, fmt.Errorf("read %s: %w", key, unusable(err)))
				return
			}
			for i := 0; i+1 < len(page); i += 2 {
				ms, _ := strconv.ParseFloat(page[i+1], 64) // Redis wrote it
				if !yield(Indexed{page[i], int64(ms)}, nil) {
					return
				}
			}
			if cursor = next; cursor == 0 {
				return
			}
		}
	}
}

func (s *Store) indexList(ctx context.Context, key string) iter.Seq2[Indexed, error] {
	return func(yield func(Indexed, error) bool) {
		for from := int64(0); ; from += indexPage {
			page, err := s.rdb.LRange(ctx, key, from, from+indexPage-1).Result()
			if err != nil {
				yield(Indexed{}, fmt.Errorf("read %s: %w", key, unusable(err)))
				return
			}
			for _, item := range page {
				at, err := parsePosition(item)
				if err != nil {
					yield(Indexed{}, fmt.Errorf("read %s: %w: %q", key, ErrUnusable, item))
					return
				}
				if !yield(Indexed{at.id, at.ms}, nil) {
					return
				}
			}
			if len(page) < indexPage {
				return
			}
		}
	}
}

// Claim is a task at a place of the index.
type Claim struct {
	Task  string
	Place tasks.Place
}

// At reads the head and what the index says of some claims, all at one moment: the ms of the task's last
// change, or -1 where it does not stand. Completed tasks have no such place.
func (s *Store) At(ctx context.Context, p eventlog.Partition, index int64, claims []Claim) (Head, []int64, error) {
	var head *redis.SliceCmd
	scores := make([]*redis.FloatCmd, len(claims))
	_, err := eventlog.Together(ctx, s.rdb, func(tx redis.Pipeliner) error {
		head = tx.HMGet(ctx, p.View("head"), headFields...)
		for i, c := range claims {
			scores[i] = tx.ZScore(ctx, indexKey(p, index, c.Place), c.Task)
		}
		return nil
	})
	if err := unusable(err); err != nil && !errors.Is(err, redis.Nil) {
		return Head{}, nil, fmt.Errorf("read the index of partition %d: %w", p.N, err)
	}
	h, err := parseHead(head.Val())
	if err != nil {
		return Head{}, nil, fmt.Errorf("read the index of partition %d: %w", p.N, err)
	}
	at := make([]int64, len(claims))
	for i, cmd := range scores {
		at[i] = -1
		if cmd.Err() == nil {
			at[i] = int64(cmd.Val())
		}
	}
	return h, at, nil
}
