package verifier

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/audit"
)

// place is something in a ledger: a member of a zset, or an entry of a dispatch stream.
type place struct {
	key, member string
	task        string // that it names; "" where it is none of ours
	entry       bool   // in a dispatch stream
}

// value is the score of a member, or the attempt that an entry hands out.
type value = float64

// ledgers holds delayed, waiting, dispatch streams and leases against the log.
func (v *partition) ledgers(ctx context.Context, s *suspects) error {
	for q := range v.audit.Queues() {
		s.queues[q] = true
	}
	book, err := v.book(ctx, s.queues)
	if err != nil {
		return err
	}
	ready, err := v.rdb.SMembersMap(ctx, v.part.Ready).Result()
	if err := v.broken(v.part.Ready, err); err != nil {
		return err
	}
	now, err := v.log.Now(ctx)
	if err != nil {
		return err
	}
	if err := v.catchUp(ctx); err != nil {
		return err
	}
	standings := map[string]*standing{}
	for at, value := range book {
		v.compared.Ledgers++
		t, known := v.audit.Task(at.task)
		if !v.belongs(at, t, known) {
			s.stray(at)
			continue
		}
		st := standings[at.task]
		if st == nil {
			st = &standing{now: now.UnixMilli()}
			_, st.ready = ready[t.Queue]
			standings[at.task] = st
		}
		st.put(v.part, at, value)
	}
	for id, t := range v.audit.Live() {
		st := standings[id]
		if st == nil {
			st = &standing{now: now.UnixMilli()}
		}
		if len(st.check(v.part, id, t)) > 0 {
			s.add(id)
		}
	}
	return nil
}

// belongs reports whether a place is one that the task it names can have, whatever its state is.
func (v *partition) belongs(at place, t audit.Summary, known bool) bool {
	if !known {
		return false
	}
	if at.entry {
		return at.key == v.part.Due(t.Queue)
	}
	switch at.key {
	case v.part.Delayed, v.part.Leases:
		return !t.State.Final()
	case v.part.Waiting(t.Queue):
		return !t.State.Final() && (t.Believed || at.member == eventlog.Place(t.Requested, at.task))
	}
	return false
}

// put enters a place of a task.
func (s *standing) put(p eventlog.Partition, at place, v value) {
	switch {
	case at.entry:
		s.entries = append(s.entries, int(v))
	case at.key == p.Delayed:
		s.delayed = &v
	case at.key == p.Leases:
		s.lease = &v
	default:
		s.waiting = &v
	}
}

// book reads every place in the ledgers. It is read page by page, so of different moments.
func (v *partition) book(ctx context.Context, queues map[string]bool) (map[place]value, error) {
	book := map[place]value{}
	for _, key := range []string{v.part.Delayed, v.part.Leases} {
		err := v.scores(ctx, key, func(task string, score float64) { book[place{key: key, member: task, task: task}] = score })
		if err != nil {
			return nil, err
		}
	}
	for q := range queues {
		key := v.part.Waiting(q)
		err := v.scores(ctx, key, func(member string, score float64) {
			book[place{key: key, member: member, task: eventlog.TaskAt(member)}] = score
		})
		if err != nil {
			return nil, err
		}
		if err := v.entries(ctx, q, book); err != nil {
			return nil, err
		}
	}
	return book, nil
}

// broken returns an error, unless it says that a key is not of our type: that is a difference.
func (v *partition) broken(key string, err error) error {
	if err != nil && redis.HasErrorPrefix(err, "WRONGTYPE") {
		v.differ(key, "something else is kept under this key")
		return nil
	}
	return err
}

// scores reads a zset, page by page.
func (v *partition) scores(ctx context.Context, key string, f func(member string, score float64)) error {
	for cursor := uint64(0); ; {
		page, next, err := v.rdb.ZScan(ctx, key, cursor, "", scanPage).Result()
		if err != nil {
			return v.broken(key, err)
		}
		for i := 0; i+1 < len(page); i += 2 {
			score, _ := strconv.ParseFloat(page[i+1], 64) // Redis wrote it
			f(page[i], score)
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// entries reads a dispatch stream, page by page.
func (v *partition) entries(ctx context.Context, queue string, book map[place]value) error {
	key := v.part.Due(queue)
	for from := "-"; ; {
		page, err := v.rdb.XRangeN(ctx, key, from, "+", scanPage).Result()
		if err != nil {
			return v.broken(key, err)
		}
		for _, e := range page {
			task, attempt := dispatch(e)
			book[place{key: key, member: e.ID, task: task, entry: true}] = value(attempt)
		}
		if len(page) < scanPage {
			return nil
		}
		from = "(" + page[len(page)-1].ID
	}
}

// dispatch returns what an entry of a dispatch stream hands out; nothing when it is none of ours.
func dispatch(e redis.XMessage) (task string, attempt int) {
	task, _ = e.Values["task"].(string)
	number, _ := e.Values["attempt"].(string)
	attempt, err := strconv.Atoi(number)
	if err != nil {
		return "", 0
	}
	return task, attempt
}
