package views

import (
	"context"
	"fmt"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const (
	maxTail     = 256     // entries of the log, of all partitions, that a page looks at before it opens the index
	leastTail   = 32      // of one partition
	tailBytes   = 1 << 20 // of one partition, or about so many
	maxTailRows = 200     // rows that it reads for them
)

// change is a task as one of its events left it.
type change struct {
	entry
	at events.ID // the event
}

// tail begins a listing of all queues, with the log itself: an event is the last change of its task where the task's
// row says so, and there the task is listed. So the newest tasks cost what they are, while the index has a place for
// each state of each queue, and they might be in any of these.
//
// It returns the tasks that it found after a position, limit at the most, and rest: all that changed last before
// that was looked at, and the index goes on from there.
func (s *Store) tail(ctx context.Context, filter Filter, after position, limit int) (found []events.Task, rest position, err error) {
	found = []events.Task{}
	changes, rest, err := s.changes(ctx, filter, after, limit)
	if err != nil {
		return nil, rest, err
	}
	for examined := 0; examined < len(changes); {
		batch := changes[examined:min(len(changes), examined+limit-len(found), maxTailRows)]
		if len(batch) == 0 {
			return found, changes[examined-1].position, nil
		}
		examined += len(batch)
		entries := make([]entry, len(batch))
		for i, c := range batch {
			entries[i] = c.entry
		}
		rows, err := s.rows(ctx, entries)
		if err != nil {
			return nil, rest, err
		}
		for _, c := range batch {
			if t, ok := rows[c.id]; ok && lastOf(t) == c.at && filter.Chooses(t) {
				found = append(found, t)
			}
		}
	}
	if len(found) == limit {
		rest = changes[len(changes)-1].position
	}
	return found, rest, nil
}

// changes returns the newest change of each task at the end of the log after a position, where it can be one that
// filter chooses, in the order of listings; and rest, up to where these are all.
func (s *Store) changes(ctx context.Context, filter Filter, after position, limit int) (list []change, rest position, err error) {
	parts := s.log.Partitions()
	for i, p := range parts {
		read, edge, err := s.changesOf(ctx, p, filter, after, limit, max(leastTail, maxTail/len(parts)))
		if err != nil {
			return nil, after, fmt.Errorf("read the end of partition %d: %w", p.N, err)
		}
		list = append(list, read...)
		if i == 0 || edge.before(rest) {
			rest = edge
		}
	}
	list = slices.DeleteFunc(list, func(c change) bool { return rest.before(c.position) })
	slices.SortFunc(list, func(a, b change) int { return compare(a.position, b.position) })
	return list, rest, nil
}

// changesOf is changes of a partition, of which it looks at most entries until there are limit.
func (s *Store) changesOf(ctx context.Context, p eventlog.Partition, filter Filter, after position, limit, most int) (list []change, edge position, err error) {
	before := events.MaxID
	if after != start {
		before = events.ID{Ms: after.ms + 1} // what shares its ms is in the order of ids, and may be after it
	}
	edge = after
	known := map[string]bool{}
	enough := func() bool { return len(list) >= limit && list[limit-1].ms > before.Ms }
	pages := s.log.Pages(most)
	pages.Bytes = tailBytes
	for looked, bytes, more := 0, 0, true; more && looked < most && bytes < tailBytes && !enough(); {
		var read []eventlog.Entry
		if read, more, err = pages.RangeBack(ctx, p, before); err != nil {
			return nil, after, err
		}
		looked += len(read)
		for _, e := range read {
			before = e.ID
			bytes += e.Size()
			if e.Task == "" || known[e.Task] {
				continue
			}
			known[e.Task] = true
			if at := (position{e.ID.Ms, e.Task}); after.before(at) && filter.mayChoose(e) {
				list = append(list, change{entry{at, p}, e.ID})
			}
		}
		if len(read) == 0 {
			break
		}
		if covered := (position{ms: before.Ms}); !more && after.before(covered) {
			edge = covered
		} else if covered.ms++; more && after.before(covered) { // of the ms of the last entry there may be more
			edge = covered
		}
	}
	return list, edge, nil
}

// mayChoose reports whether the task of an entry, if that is its last, can be one that f chooses.
func (f Filter) mayChoose(e eventlog.Entry) bool {
	return e.Err != nil || e.Data == nil ||
		(f.State == events.StateNone || f.State == events.Next(e.Data)) && (f.Name == "" || f.Name == e.Data.About().Name)
}

// lastOf is the newest event of a task.
func lastOf(t events.Task) (last events.ID) {
	if n := len(t.Events); n > 0 {
		last = t.Events[n-1]
	}
	return last
}
