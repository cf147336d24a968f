package views

import (
	"context"
	"fmt"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/tasks"
)

// Filter chooses tasks. The zero Filter chooses all.
type Filter struct {
	State  events.State // empty: all states
	Queue  string       // empty: all queues
	Name   string       // of the task's kind; empty: all
	Cursor string       // Page.Next of the page before; empty: the first page
	Limit  int          // tasks of a page; 0 means 50, and the most is 200
}

// Page is some tasks, the newest change first.
type Page struct {
	Tasks []events.Task
	// Next is the Cursor of the next page; empty when this is the last. A page with Next may be
	// short, even empty: a page looks at a bounded number of tasks.
	Next string
}

const (
	defaultLimit = 50
	maxLimit     = 200
	maxExamined  = 2000 // entries of the index that one page looks at
)

// Tasks returns a page of tasks. Pages follow each other by the time of a task's last change: one that
// does not change meanwhile is in exactly one of them, one that does may be in none, because it is
// now before the first. Of completed and of cancelled tasks the newest tasks.Keep of each queue and
// partition are listed, and somewhat more of cancelled ones.
//
// Without a queue, a page begins with the end of the log; what views do not have yet is then listed, too.
//
// A Filter that makes no sense is an *events.FieldError.
func (s *Store) Tasks(ctx context.Context, filter Filter) (Page, error) {
	limit, err := filter.Check()
	if err != nil {
		return Page{}, err
	}
	after, err := parseCursor(filter.Cursor)
	if err != nil {
		return Page{}, err
	}
	page := Page{Tasks: []events.Task{}}
	if filter.Queue == "" {
		if page.Tasks, after, err = s.tail(ctx, filter, after, limit); err != nil {
			return Page{}, fmt.Errorf("list tasks: %w", err)
		}
		if len(page.Tasks) == limit {
			page.Next = after.cursor()
			return page, nil
		}
	}
	m, err := s.merge(ctx, filter, after)
	if err != nil {
		return Page{}, fmt.Errorf("list tasks: %w", err)
	}
	seen := map[string]bool{} // a task on the move may be in two places of the index
	for examined := 0; len(page.Tasks) < limit && examined < maxExamined; {
		batch, err := m.take(ctx, min(limit-len(page.Tasks), maxExamined-examined))
		if err != nil {
			return Page{}, fmt.Errorf("list tasks: %w", err)
		}
		if len(batch) == 0 {
			page.Next = ""
			return page, nil
		}
		examined += len(batch)
		rows, err := s.rows(ctx, batch)
		if err != nil {
			return Page{}, fmt.Errorf("list tasks: %w", err)
		}
		for _, e := range batch {
			if t, ok := rows[e.id]; ok && !seen[e.id] && filter.Chooses(t) && (filter.Queue != "" || after.before(position{lastOf(t).Ms, t.ID})) {
				seen[e.id] = true
				page.Tasks = append(page.Tasks, t)
			}
		}
		page.Next = batch[len(batch)-1].cursor()
	}
	rest, err := m.take(ctx, 1)
	if err != nil {
		return Page{}, fmt.Errorf("list tasks: %w", err)
	}
	if len(rest) == 0 {
		page.Next = ""
	}
	return page, nil
}

// Check returns how many tasks a page has, or an *events.FieldError when the filter makes no sense. It does not
// look at the cursor.
func (f Filter) Check() (limit int, err error) {
	if f.State != events.StateNone && !slices.Contains(events.States, f.State) {
		return 0, &events.FieldError{Field: "state", Reason: fmt.Sprintf("%q is not one of %v", f.State, events.States)}
	}
	if f.Limit < 0 || f.Limit > maxLimit {
		return 0, &events.FieldError{Field: "limit", Reason: fmt.Sprintf("%d is not between 1 and %d", f.Limit, maxLimit)}
	}
	if f.Limit == 0 {
		return defaultLimit, nil
	}
	return f.Limit, nil
}

// Pick reads the tasks of some ids, which were found elsewhere, and returns those that filter chooses by what
// their rows say now, in the order of ids.
func (s *Store) Pick(ctx context.Context, filter Filter, ids []string) ([]events.Task, error) {
	batch := make([]entry, len(ids))
	for i, id := range ids {
		batch[i] = entry{position{id: id}, s.log.Of(id)}
	}
	rows, err := s.rows(ctx, batch)
	if err != nil {
		return nil, fmt.Errorf("read the tasks that were found: %w", err)
	}
	var tasks []events.Task
	for _, id := range ids {
		if t, ok := rows[id]; ok && filter.Chooses(t) {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// Chooses judges a task by what is known of it now: it may have moved on since it came into the index.
func (f Filter) Chooses(t events.Task) bool {
	return (f.State == events.StateNone || f.State == t.State) &&
		(f.Queue == "" || f.Queue == t.Queue) && (f.Name == "" || f.Name == t.Name)
}

// rows reads the tasks of a batch.
func (s *Store) rows(ctx context.Context, batch []entry) (map[string]events.Task, error) {
	ids := map[int][]string{}
	for _, e := range batch {
		ids[e.part.N] = append(ids[e.part.N], e.id)
	}
	rows := make(map[string]events.Task, len(batch))
	for n, list := range ids {
		found, err := s.log.Tasks(ctx, s.log.Partitions()[n], list)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			rows[t.ID] = t
		}
	}
	return rows, nil
}

// merge opens the places of the index in which chosen tasks can be: those that are not empty as of
// the checkpoint.
func (s *Store) merge(ctx context.Context, filter Filter, after position) (*merge, error) {
	m := &merge{rdb: s.rdb}
	for _, p := range s.log.Partitions() {
		h, v, err := s.counts(ctx, p, filter.Queue)
		if err != nil {
			return nil, err
		}
		for queue, q := range v.All() {
			for state := range q.Counts {
				if filter.State == events.StateNone || filter.State == state {
					key := indexKey(p, h.Index, tasks.Place{State: state, Queue: queue})
					m.streams = append(m.streams, &stream{key: key, list: state == events.StateCompleted, part: p, after: after})
				}
			}
		}
	}
	return m, nil
}

// counts reads the counts of one queue, or of all, and the generation that they belong to.
func (s *Store) counts(ctx context.Context, p eventlog.Partition, queue string) (Head, *queues.View, error) {
	v := new(queues.View)
	var names []string
	if queue != "" {
		names = []string{queue}
	}
	h, fields, err := s.fields(ctx, p, v.Name(), names)
	if err != nil {
		return Head{}, nil, err
	}
	return h, v, loaded(v, fields)
}
