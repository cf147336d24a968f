package rebuilder

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// rebuild makes the state of one partition again.
type rebuild struct {
	log   *eventlog.Log
	part  eventlog.Partition
	rdb   redis.UniversalClient
	token string // in the gate
	cfg   Config
	sum   Summary
	first events.ID // of the log: rows of tasks that began before are kept
}

// write sends commands in one transaction, as long as the gate is ours.
func (r *rebuild) write(ctx context.Context, commands func(pipe redis.Pipeliner)) error {
	return eventlog.Persist(ctx, func() error {
		err := r.rdb.Watch(ctx, func(tx *redis.Tx) error {
			switch have, err := tx.Get(ctx, r.part.Rebuild).Result(); {
			case errors.Is(err, redis.Nil), err == nil && have != r.token:
				return ErrMoved
			case err != nil:
				return err
			}
			_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				commands(pipe)
				return nil
			})
			return err
		}, r.part.Rebuild)
		if errors.Is(err, redis.TxFailedErr) {
			return ErrMoved
		}
		return err
	})
}

const scanPage = 1000 // keys

// scan calls f with the keys of the partition that begin with some word, a page at a time.
func (r *rebuild) scan(ctx context.Context, word string, f func(keys []string) error) error {
	for cursor := uint64(0); ; {
		var keys []string
		var next uint64
		err := eventlog.Persist(ctx, func() (err error) {
			keys, next, err = r.log.Scan(ctx, r.part, word, cursor, scanPage)
			return err
		})
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := f(keys); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// clear removes what is made again. The leases stay for now, for what they say of the ends of running attempts.
func (r *rebuild) clear(ctx context.Context) error {
	var head []eventlog.Entry
	err := eventlog.Persist(ctx, func() (err error) {
		head, err = r.log.Range(ctx, r.part, events.ID{}, events.MaxID, 1)
		return err
	})
	if err != nil {
		return err
	}
	if r.first = events.MaxID; len(head) > 0 {
		r.first = head[0].ID
	}
	err = r.write(ctx, func(pipe redis.Pipeliner) {
		pipe.Unlink(ctx, r.part.Delayed, r.part.Ready, r.part.Queues, r.part.Paused)
		pipe.HDel(ctx, r.part.Readers, eventlog.Tallier) // it begins anew
	})
	if err != nil {
		return err
	}
	for _, word := range []string{"waiting:", "due:", "finished:", "task:"} {
		err := r.scan(ctx, word, func(keys []string) error {
			if word == "task:" && r.cfg.Lossy {
				var err error
				if keys, err = r.begun(ctx, keys); err != nil || len(keys) == 0 {
					return err
				}
			}
			return r.write(ctx, func(pipe redis.Pipeliner) { pipe.Unlink(ctx, keys...) })
		})
		if err != nil {
			return err
		}
	}
	crashpoint.Hit(crashpoint.RebuildAfterClear)
	return nil
}

// begun returns those of some rows whose tasks the log still begins, and those that no decision wrote.
func (r *rebuild) begun(ctx context.Context, keys []string) (list []string, err error) {
	found, err := r.load(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if row := found[i]; row == nil || row.Events[0].Compare(r.first) >= 0 {
			list = append(list, key)
		}
	}
	return list, nil
}
