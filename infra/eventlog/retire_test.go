package eventlog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// cancelled requests tasks and cancels them, in this order.
func (h *hand) cancelled(tasks ...string) {
	h.Helper()
	for _, task := range tasks {
		h.requested(task)
		must(h.log.Cancel(h.Context(), task, "test", ""))(h)
	}
}

// ended reads which tasks are over, or no more, by all that follows an entry.
func (h *hand) ended(after events.ID) (list []eventlog.Ending, upto events.ID) {
	h.Helper()
	for _, e := range must(h.log.Range(h.Context(), h.p, after, events.MaxID, eventlog.MaxItems))(h) {
		if d, ok := eventlog.NewEnding(e); ok {
			list = append(list, d)
		}
		upto = e.ID
	}
	return list, upto
}

// follow notes what is new.
func (h *hand) follow() {
	h.Helper()
	after := must(h.log.Tallied(h.Context(), h.p))(h)
	if list, upto := h.ended(after); !upto.IsZero() {
		h.succeed(h.log.Tally(h.Context(), h.p, after, upto, list))
	}
}

// retire lets all rows of queue "q" go but those of the newest.
func (h *hand) retire(keep int) (rows int) {
	h.Helper()
	for {
		r := must(h.log.Retire(h.Context(), h.p, "q", keep, 0))(h)
		if rows += r.Rows; !r.More {
			return rows
		}
	}
}

// rows returns which of some tasks have a row.
func (h *hand) rows(tasks ...string) (found []string) {
	h.Helper()
	for _, task := range tasks {
		if must(h.rdb.Exists(h.Context(), h.p.Task(task)).Result())(h) == 1 {
			found = append(found, task)
		}
	}
	return found
}

func TestOfTasksThatAreOverTheRowsOfTheNewestStay(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		var all []string
		for name, end := range endings {
			end(h, name)
			all = append(all, name)
		}
		for _, state := range []events.State{events.StateDelayed, events.StateWaiting, events.StateRetrying, events.StateActive} {
			in[state](h, string(state))
		}
		h.follow()
		if n := h.retire(len(all)); n != 0 {
			t.Errorf("%d rows went, and none was too many", n)
		}
		if n := h.retire(2); n != len(all)-2 {
			t.Errorf("%d rows went, want %d", n, len(all)-2)
		}
		if got := h.rows(all...); !slices.Equal(got, all[len(all)-2:]) {
			t.Errorf("%q have rows, want %q", got, all[len(all)-2:])
		}
		upto := must(h.log.RetiredUpto(t.Context(), h.p))(h)
		folded := h.fold(h.all())
		last := folded[all[len(all)-3]].Events
		if len(upto) != 1 || upto["q"] != last[len(last)-1] {
			t.Errorf("rows went up to %v, want %s", upto, last[len(last)-1])
		}
		if got := h.rows("delayed", "waiting", "retrying", "active"); len(got) != 4 {
			t.Errorf("of those that are not over %q have rows", got)
		}
	})
}

func TestTheRowOfATaskThatIsOverNoMoreStays(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.cancelled("retried", "again", "noted", "newest")
		h.follow()
		must(h.log.Retry(t.Context(), "retried", "test", "r1"))(h)
		must(h.log.Retry(t.Context(), "noted", "test", "r2"))(h)
		must(h.log.Cancel(t.Context(), "noted", "test", ""))(h) // it is over anew
		must(h.rdb.Del(t.Context(), h.p.Task("again")).Result())(h)
		h.requested("again") // it lives again
		h.retire(0)          // as of before all that
		if got := h.rows("retried", "again", "noted", "newest"); !slices.Equal(got, []string{"retried", "again", "noted"}) {
			t.Errorf("%q have rows", got)
		}
		h.follow()
		h.retire(0)
		if got := h.rows("retried", "again", "noted"); !slices.Equal(got, []string{"retried", "again"}) {
			t.Errorf("%q have rows, want those that are not over", got)
		}
	})
}

func TestTheRowOfATaskThatJustEndedStays(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.cancelled("a", "b")
		h.follow()
		r := must(h.log.Retire(t.Context(), h.p, "q", 1, hour))(h)
		if r.Rows != 0 || !r.More || r.Wait < hour-time.Minute || r.Wait > hour || len(h.rows("a", "b")) != 2 {
			t.Errorf("%+v, and %q have rows", r, h.rows("a", "b"))
		}
	})
}

func TestALogIsNotedOnlyWhereItsNotesEnd(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.cancelled("a")
		h.follow()
		all := h.all()
		upto := all[len(all)-1].ID
		list, _ := h.ended(all[0].ID)
		if err := h.log.Tally(t.Context(), h.p, all[0].ID, upto.Next(), list); !errors.Is(err, eventlog.ErrTallied) {
			t.Errorf("noted from the middle: %v", err)
		}
		h.succeed(h.log.Untally(t.Context(), h.p))
		if at := must(h.log.Tallied(t.Context(), h.p))(h); !at.IsZero() || len(h.rdb.Keys(t.Context(), h.p.Finished("*")).Val()) != 0 {
			t.Errorf("the notes end at %s after they were thrown away, and there are some", at)
		}
		if err := h.log.Tally(t.Context(), h.p, upto, upto.Next(), nil); !errors.Is(err, eventlog.ErrTallied) {
			t.Errorf("noted after they were thrown away: %v", err)
		}
	})
}

func TestAQueueWhoseNotesAreNoneStopsNoOther(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		foreign := want("foreign")
		foreign.Queue = "broken"
		h.request(foreign)
		must(h.log.Cancel(t.Context(), "foreign", "test", ""))(h)
		must(h.rdb.Set(t.Context(), h.p.Finished("broken"), "no zset", 0).Result())(h)
		h.cancelled("a")
		must(h.rdb.Set(t.Context(), h.p.Task("a"), "no row", 0).Result())(h)
		h.cancelled("b")
		h.follow()
		h.retire(0)
		if _, err := h.log.Retire(t.Context(), h.p, "broken", 0, 0); err == nil {
			t.Error("nobody says that the notes of a queue are none")
		}
		if got := h.rows("a", "b", "foreign"); !slices.Equal(got, []string{"a", "foreign"}) {
			t.Errorf("%q have rows", got)
		}
	})
}

func TestRowsGoWhenRedisIsFull(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	h.cancelled("a", "b", "c")
	h.succeed(h.rdb.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	h.succeed(h.rdb.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err())
	if err := h.rdb.Set(t.Context(), "full", "?", 0).Err(); err == nil {
		t.Fatal("Redis is not full")
	}
	h.follow()
	if n := h.retire(1); n != 2 {
		t.Errorf("%d rows went, want 2", n)
	}
}

// Whatever happens to tasks, and whenever their ends are noted and rows go: those go that have been over for the
// longest, none is one too many, and nothing else is touched.
func TestRowsThatGoAreThoseOfAModel(t *testing.T) {
	server := testredis.Start(t)
	log := open(t, server.URL(), 1)
	rapid.Check(t, func(rt *rapid.T) {
		h := newHand(rt, log)
		h.succeed(h.rdb.FlushAll(h.Context()).Err())
		keep := rapid.IntRange(0, 4).Draw(rt, "keep")
		live := map[string]events.ID{} // the newest event of every task that must have a row
		over := map[string]bool{}
		check := func() {
			var ends []events.ID
			for task, last := range live {
				if over[task] {
					ends = append(ends, last)
				}
			}
			slices.SortFunc(ends, events.ID.Compare)
			for _, last := range ends[:max(0, len(ends)-keep)] {
				for task, at := range live {
					if over[task] && at == last {
						delete(live, task)
					}
				}
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"request": func(rt *rapid.T) {
				task := fmt.Sprintf("t%d", rapid.IntRange(0, 9).Draw(rt, "task"))
				r := want(task)
				r.RequestID = fmt.Sprint(rapid.IntRange(0, 1).Draw(rt, "request id"))
				receipt := h.request(r)
				if _, there := live[task]; !there {
					live[task], over[task] = receipt.Event, false
				} else if receipt.State == events.StateNone {
					rt.Errorf("%+v", receipt)
				}
			},
			"end": func(rt *rapid.T) {
				task := fmt.Sprintf("t%d", rapid.IntRange(0, 9).Draw(rt, "task"))
				if _, there := live[task]; !there || over[task] {
					return
				}
				live[task], over[task] = must(h.log.Cancel(h.Context(), task, "test", ""))(h), true
			},
			"retry": func(rt *rapid.T) {
				task := fmt.Sprintf("t%d", rapid.IntRange(0, 9).Draw(rt, "task"))
				if _, there := live[task]; !there || !over[task] {
					return
				}
				live[task], over[task] = must(h.log.Retry(h.Context(), task, "test", live[task].String()))(h), false
			},
			"note": func(*rapid.T) { h.follow() },
			"note and retire": func(*rapid.T) {
				h.follow()
				h.retire(keep)
				check()
			},
			"": func(rt *rapid.T) {
				for i := range 10 {
					task := fmt.Sprintf("t%d", i)
					if _, want := live[task]; want != (len(h.rows(task)) == 1) {
						rt.Fatalf("%s has a row: %t, want %t", task, !want, want)
					}
				}
			},
		})
	})
}
