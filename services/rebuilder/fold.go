package rebuilder

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/rows"
)

const (
	writeRows  = 500     // in one transaction
	writeBytes = 4 << 20 // of definitions in one transaction, unless one row alone has more
)

// readPage is how many entries are read at once, at the most. Tests make it small.
var readPage = 1000

// fold makes the rows, and what is known of queues.
func (r *rebuild) fold(ctx context.Context) error {
	fold := rows.New(r.cfg.Memory)
	stored := r.cfg.Lossy // there are rows outside of the fold
	pages := r.log.Pages(readPage)
	next := func(ctx context.Context, after events.ID) (page []eventlog.Entry, more bool, err error) {
		err = eventlog.Persist(ctx, func() (err error) {
			page, more, err = pages.Range(ctx, r.part, after, events.MaxID)
			return err
		})
		return page, more, err
	}
	for entries, err := range eventlog.ReadAhead(ctx, events.ID{}, next) {
		if err != nil {
			return err
		}
		list := make([]events.Event, 0, len(entries))
		for _, e := range entries {
			if e.Err != nil {
				r.sum.Skipped++
				continue
			}
			list = append(list, e.Event)
		}
		if stored {
			if err := r.missing(ctx, fold, list); err != nil {
				return err
			}
		}
		for _, e := range list {
			fold.Apply(e)
		}
		r.sum.Entries += int64(len(entries))
		r.cfg.Progress(int64(len(entries)), 0)
		if fold.Full() {
			if err := r.store(ctx, fold); err != nil {
				return err
			}
			stored = true
		}
	}
	if err := r.store(ctx, fold); err != nil {
		return err
	}
	r.sum.Illegal, r.sum.Told, r.sum.Older, r.sum.Tasks = fold.Illegal, fold.Told, fold.Older, fold.States
	if len(fold.Paused) == 0 {
		return nil
	}
	return r.write(ctx, func(pipe redis.Pipeliner) {
		for q := range fold.Paused {
			pipe.SAdd(ctx, r.part.Paused, q)
		}
	})
}

// missing loads the rows that some events need.
func (r *rebuild) missing(ctx context.Context, fold *rows.Fold, list []events.Event) error {
	ids := fold.Missing(list)
	if len(ids) == 0 {
		return nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = r.part.Task(id)
	}
	found, err := r.load(ctx, keys)
	if err != nil {
		return err
	}
	for _, row := range found {
		if row != nil {
			fold.Load(*row)
		}
	}
	return nil
}

// load reads rows; one that is not there, or that no decision wrote, is nil.
func (r *rebuild) load(ctx context.Context, keys []string) ([]*rows.Row, error) {
	var cmds []redis.Cmder
	err := eventlog.Persist(ctx, func() (err error) {
		cmds, err = r.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, key := range keys {
				pipe.HGetAll(ctx, key)
			}
			return nil
		})
		return err
	})
	if err != nil && !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		return nil, err
	}
	found := make([]*rows.Row, len(keys))
	for i, cmd := range cmds {
		fields := cmd.(*redis.MapStringStringCmd).Val()
		if len(fields) == 0 {
			continue
		}
		t, err := eventlog.Row(strings.TrimPrefix(keys[i], r.part.Task("")), fields)
		if err != nil {
			continue
		}
		row := rows.Row{Task: t}
		if n := strings.LastIndexByte(fields["retry"], ' '); n >= 0 {
			row.Retried, _ = events.ParseID(fields["retry"][n+1:]) // a script or we wrote it
		}
		found[i] = &row
	}
	return found, nil
}

// store writes what the fold holds, and empties it.
func (r *rebuild) store(ctx context.Context, fold *rows.Fold) error {
	changed, queues := fold.Drain()
	if len(queues) > 0 {
		if err := r.write(ctx, func(pipe redis.Pipeliner) { pipe.SAdd(ctx, r.part.Queues, queues) }); err != nil {
			return err
		}
	}
	for len(changed) > 0 {
		n, bytes := 0, 0
		for n < len(changed) && n < writeRows && (n == 0 || bytes+len(changed[n].Payload) <= writeBytes) {
			bytes += len(changed[n].Payload)
			n++
		}
		fields := make([][]string, n)
		for i, row := range changed[:n] {
			var err error
			if fields[i], err = row.Fields(); err != nil {
				return err
			}
		}
		err := r.write(ctx, func(pipe redis.Pipeliner) {
			for i, row := range changed[:n] {
				key := r.part.Task(row.ID)
				pipe.Del(ctx, key)
				pipe.HSet(ctx, key, fields[i])
			}
		})
		if err != nil {
			return err
		}
		changed = changed[n:]
		crashpoint.Hit(crashpoint.RebuildMidWrite)
	}
	return nil
}
