package copier

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// place is how far a partition of the source was read.
type place struct {
	At     events.ID `json:"at"`
	Read   int64     `json:"read"`             // entries
	Paused []string  `json:"paused,omitempty"` // queues, in order
}

// source is a partition of the source as it is read.
type source struct {
	part  eventlog.Partition
	place place
	ahead []eventlog.Raw // read and not yet used
	next  func() (page []eventlog.Raw, err error, more bool)
}

// maxPage is how many entries are read at once, at the most. Tests make it small.
var maxPage = 1000

// read reads the partition ahead of who uses it, until stop is called, in pages of about so many bytes.
func (s *source) read(ctx context.Context, log *eventlog.Log, until events.ID, bytes int) (stop func()) {
	pages := log.Pages(maxPage)
	pages.Bytes = bytes
	s.ahead = nil
	s.next, stop = iter.Pull2(eventlog.ReadAhead(ctx, s.place.At, func(ctx context.Context, after events.ID) (page []eventlog.Raw, more bool, err error) {
		err = eventlog.Persist(ctx, func() (err error) {
			page, more, err = pages.Verbatim(ctx, s.part, after, until)
			return err
		})
		return page, more, err
	}))
	return stop
}

// head returns the next entry, or nil at the end.
func (s *source) head() (*eventlog.Raw, error) {
	for len(s.ahead) == 0 {
		page, err, more := s.next()
		if !more || err != nil {
			return nil, err
		}
		s.ahead = page
	}
	return &s.ahead[0], nil
}

// earliest returns the source whose next entry comes first in the copy, or nil at the end of all.
func earliest(sources []*source) (first *source, err error) {
	var at events.ID
	for _, s := range sources { // in the order of partitions
		e, err := s.head()
		if err != nil {
			return nil, err
		}
		if e != nil && (first == nil || e.ID.Compare(at) < 0) {
			first, at = s, e.ID
		}
	}
	return first, nil
}

// take takes the next entry.
func (s *source) take() eventlog.Raw {
	e := s.ahead[0]
	s.ahead = s.ahead[1:]
	s.place.At = e.ID
	s.place.Read++
	return e
}

// queueOf returns the queue that an entry pauses or resumes, if it does.
func queueOf(e eventlog.Raw) (queue string, paused, ok bool) {
	typ := events.Type(e.Field(events.FieldType))
	if typ != events.TypeQueuePaused && typ != events.TypeQueueResumed {
		return "", false, false
	}
	entry := e.Entry()
	if entry.Err != nil {
		return "", false, false
	}
	return entry.Data.About().Queue, typ == events.TypeQueuePaused, true
}

// turn notes that a queue was paused or resumed in s, and reports whether the copy says so too: it is paused
// as long as all sources are. With one source the copy says all that it says.
func (s *source) turn(sources []*source, queue string, paused bool) bool {
	all := func() bool {
		return !slices.ContainsFunc(sources, func(s *source) bool {
			_, there := slices.BinarySearch(s.place.Paused, queue)
			return !there
		})
	}
	before := all()
	i, there := slices.BinarySearchFunc(s.place.Paused, queue, cmp.Compare[string])
	list := slices.Clone(s.place.Paused) // checkpoints have the old one
	switch {
	case paused && !there:
		s.place.Paused = slices.Insert(list, i, queue)
	case !paused && there:
		s.place.Paused = slices.Delete(list, i, i+1)
	}
	return len(sources) == 1 || all() != before
}
