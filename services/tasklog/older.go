package main

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// olderLog is an archive that is opened when something of it is asked for: most commands never do. One that is
// not there yet has nothing.
type olderLog struct {
	open func(ctx context.Context) (*archive.Archive, error)

	mu sync.Mutex
	a  *archive.Archive
}

// get opens the archive; nil when there is none.
func (o *olderLog) get(ctx context.Context) (*archive.Archive, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.a != nil {
		return o.a, nil
	}
	a, err := o.open(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	o.a = a
	return a, err
}

// Range implements eventlog.Older.
func (o *olderLog) Range(ctx context.Context, partition int, after, until events.ID, n int) ([]eventlog.Entry, error) {
	a, err := o.get(ctx)
	if err != nil || a == nil {
		return nil, err
	}
	return a.Range(ctx, partition, after, until, n)
}

// Raw implements eventlog.Older.
func (o *olderLog) Raw(ctx context.Context, partition int, after, until events.ID, n int) ([]eventlog.Raw, error) {
	a, err := o.get(ctx)
	if err != nil || a == nil {
		return nil, err
	}
	return a.Raw(ctx, partition, after, until, n)
}

// End implements eventlog.Older.
func (o *olderLog) End(ctx context.Context, partition int) (events.ID, int64, error) {
	a, err := o.get(ctx)
	if err != nil || a == nil {
		return events.ID{}, 0, err
	}
	return a.End(ctx, partition)
}

func (o *olderLog) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.a != nil {
		_ = o.a.Close() // it was only read
	}
}
