package views

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/names"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/throughput"
	"github.com/tasklog/tasklog/projections/workers"
)

// Freshness says as of when a view is. The zero Freshness is that of views that nobody has made yet.
type Freshness struct {
	Partitions []Head    // by partition; a zero Head where there are no views yet
	Newest     time.Time // of the newest event in the view, UTC; zero when there is none
}

// Missed returns how many entries of the log were removed before they were read: where it is not 0, the
// counts are not those of all events.
func (f Freshness) Missed() (n int64) {
	for _, h := range f.Partitions {
		n += h.Missed
	}
	return n
}

// Queues returns the counts of every queue, merged over the partitions.
func (s *Store) Queues(ctx context.Context) (*queues.View, Freshness, error) {
	sum := new(queues.View)
	fresh, err := s.each(ctx, func() projections.View { return new(queues.View) },
		func(v projections.View) { sum.Merge(v.(*queues.View)) })
	return sum, fresh, err
}

// Series returns what happened in a queue, or in all of them where it is empty, in the window that ends now by
// Redis' clock, merged over the partitions; see throughput.View.Series. It reads 168 fields of a partition at
// the most.
func (s *Store) Series(ctx context.Context, queue string, window time.Duration) (throughput.Series, Freshness, error) {
	now, err := s.log.Now(ctx)
	if err != nil {
		return throughput.Series{}, Freshness{}, fmt.Errorf("read a series: %w", err)
	}
	sum := new(throughput.View)
	fresh, err := s.some(ctx, throughput.Needs(queue, window, now), func() projections.View { return new(throughput.View) },
		func(v projections.View) { sum.Merge(v.(*throughput.View)) })
	return sum.Series(queue, window, now), fresh, err
}

// Names returns what happened to the tasks of a queue since a time, which is names.Since of now by Redis' clock, by
// name and merged over the partitions. It reads 255 fields of a partition at the most.
func (s *Store) Names(ctx context.Context, queue string) (list []names.Name, since time.Time, fresh Freshness, err error) {
	now, err := s.log.Now(ctx)
	if err != nil {
		return nil, since, fresh, fmt.Errorf("read the names of a queue: %w", err)
	}
	sum := new(names.View)
	for _, p := range s.log.Partitions() {
		v := new(names.View)
		h, fields, err := s.fields(ctx, p, v.Name(), []string{names.List(queue)})
		if err == nil {
			h, fields, err = s.named(ctx, p, fields, queue, now)
		}
		if err == nil {
			err = loaded(v, fields)
		}
		if err != nil {
			return nil, since, fresh, fmt.Errorf("read the names of a queue in partition %d: %w", p.N, err)
		}
		sum.Merge(v)
		fresh.add(h)
	}
	return sum.Of(queue, now), names.Since(now), fresh, nil
}

// named adds to the list of a queue's names their counts.
func (s *Store) named(ctx context.Context, p eventlog.Partition, list map[string]string, queue string, now time.Time) (Head, map[string]string, error) {
	v := new(names.View)
	if err := loaded(v, list); err != nil {
		return Head{}, nil, err
	}
	h, fields, err := s.fields(ctx, p, v.Name(), v.Needs(queue, now))
	if err != nil {
		return Head{}, nil, err
	}
	maps.Copy(fields, list)
	return h, fields, nil
}

// loaded loads fields into a view. What they are not is unusable.
func loaded(v projections.View, fields map[string]string) error {
	if err := v.Load(fields); err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return nil
}

// Workers returns what each worker did and runs, merged over the partitions.
func (s *Store) Workers(ctx context.Context) (*workers.View, Freshness, error) {
	sum := new(workers.View)
	fresh, err := s.each(ctx, func() projections.View { return new(workers.View) },
		func(v projections.View) { sum.Merge(v.(*workers.View)) })
	return sum, fresh, err
}

// each loads one view of every partition, with its head. A partition without views is left out.
func (s *Store) each(ctx context.Context, empty func() projections.View, merge func(projections.View)) (Freshness, error) {
	return s.some(ctx, nil, empty, merge)
}

// some is each of some fields, or of all where none are named.
func (s *Store) some(ctx context.Context, names []string, empty func() projections.View, merge func(projections.View)) (fresh Freshness, err error) {
	for _, p := range s.log.Partitions() {
		v := empty()
		h, fields, err := s.fields(ctx, p, v.Name(), names)
		if err == nil {
			err = loaded(v, fields)
		}
		if err != nil {
			return fresh, fmt.Errorf("read view %s of partition %d: %w", v.Name(), p.N, err)
		}
		merge(v)
		fresh.add(h)
	}
	return fresh, nil
}

// fields reads the fields of a view, all or those named, and the head of the views, at one moment.
func (s *Store) fields(ctx context.Context, p eventlog.Partition, view string, names []string) (Head, map[string]string, error) {
	var head, named *redis.SliceCmd
	var all *redis.MapStringStringCmd
	_, err := eventlog.Together(ctx, s.rdb, func(tx redis.Pipeliner) error {
		head = tx.HMGet(ctx, p.View("head"), headFields...)
		if len(names) > 0 {
			named = tx.HMGet(ctx, p.View(view), names...)
		} else {
			all = tx.HGetAll(ctx, p.View(view))
		}
		return nil
	})
	if err := unusable(err); err != nil {
		return Head{}, nil, err
	}
	h, err := s.head(head)
	if err != nil {
		return Head{}, nil, err
	}
	if all != nil {
		return h, all.Val(), nil
	}
	fields := map[string]string{}
	for i, v := range named.Val() {
		if data, ok := v.(string); ok {
			fields[names[i]] = data
		}
	}
	return h, fields, nil
}

// head reads the head of views that may not be there yet: then it is zero.
func (s *Store) head(cmd *redis.SliceCmd) (Head, error) {
	if values := cmd.Val(); len(values) > 0 && values[0] == nil {
		return Head{}, nil
	}
	return parseHead(cmd.Val())
}

func (f *Freshness) add(h Head) {
	f.Partitions = append(f.Partitions, h)
	if t := h.Checkpoint.Time(); !h.Checkpoint.IsZero() && t.After(f.Newest) {
		f.Newest = t
	}
}

// Checkpoint returns up to where the log is in the views of a partition: the zero ID when there are
// none yet.
func (s *Store) Checkpoint(ctx context.Context, p eventlog.Partition) (events.ID, error) {
	h, err := s.Head(ctx, p)
	return h.Checkpoint, err
}

// Head returns what is known of the views of a partition: a zero Head when there are none yet.
func (s *Store) Head(ctx context.Context, p eventlog.Partition) (h Head, err error) {
	cmd := s.rdb.HMGet(ctx, p.View("head"), headFields...)
	if err = unusable(cmd.Err()); err == nil {
		h, err = s.head(cmd)
	}
	if err != nil {
		return Head{}, fmt.Errorf("read the head of the views of partition %d: %w", p.N, err)
	}
	return h, nil
}

// Lag is how far the views of a partition are behind its log.
type Lag struct {
	Entries int64         // not yet folded; where Redis does not say how many there ever were, exact while none was trimmed
	Behind  time.Duration // from the newest event that is folded to the newest there is
}

// Lag returns how far each partition is behind. Views that must be made again have folded nothing.
func (s *Store) Lag(ctx context.Context) ([]Lag, error) {
	lags := make([]Lag, 0, len(s.log.Partitions()))
	for _, p := range s.log.Partitions() {
		info, err := s.log.Info(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("lag of partition %d: %w", p.N, err)
		}
		var head *redis.SliceCmd
		var length *redis.IntCmd
		var first, last *redis.XMessageSliceCmd
		_, err = eventlog.Together(ctx, s.rdb, func(tx redis.Pipeliner) error {
			head = tx.HMGet(ctx, p.View("head"), headFields...)
			length = tx.XLen(ctx, p.Events)
			first = tx.XRangeN(ctx, p.Events, "-", "+", 1)
			last = tx.XRevRangeN(ctx, p.Events, "+", "-", 1)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("lag of partition %d: %w", p.N, err)
		}
		h, err := s.head(head)
		if err != nil && !errors.Is(err, ErrUnusable) {
			return nil, fmt.Errorf("lag of partition %d: %w", p.N, err)
		}
		var lag Lag
		if len(first.Val()) > 0 && len(last.Val()) > 0 {
			start, _ := events.ParseID(first.Val()[0].ID) // Redis wrote it
			end, _ := events.ParseID(last.Val()[0].ID)
			if end.Compare(h.Checkpoint) > 0 {
				unread := length.Val() - h.Read
				if info.Added >= 0 && h.Read > 0 {
					unread = info.Added - h.Read - h.Missed
				}
				lag.Entries = max(1, unread)
				lag.Behind = time.Duration(end.Ms-max(h.Checkpoint.Ms, start.Ms)) * time.Millisecond
			}
		}
		lags = append(lags, lag)
	}
	return lags, nil
}
