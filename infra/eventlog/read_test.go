package eventlog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// ids returns the entry ids of a page.
func ids(page []eventlog.Entry) []events.ID {
	list := make([]events.ID, 0, len(page))
	for _, e := range page {
		list = append(list, e.ID)
	}
	return list
}

func TestPagesOfTheLogJoinWithoutGapOrOverlap(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		var want []events.ID
		for i := range 25 {
			r := eventlog.Request{Task: fmt.Sprint(i), Label: events.Label{Queue: "q"}, Definition: events.Definition{MaxAttempts: 1}}
			want = append(want, h.request(r).Event)
		}
		var forward, back, followed []events.ID
		for after := (events.ID{}); ; after = forward[len(forward)-1] {
			page := must(h.log.Range(t.Context(), h.p, after, events.MaxID, 7))(h)
			if len(page) == 0 {
				break
			}
			forward = append(forward, ids(page)...)
		}
		for before := events.MaxID; ; before = back[len(back)-1] {
			page := must(h.log.RangeBack(t.Context(), h.p, before, 7))(h)
			if len(page) == 0 {
				break
			}
			back = append(back, ids(page)...)
		}
		for after := (events.ID{}); ; after = followed[len(followed)-1] {
			page := must(h.log.Follow(t.Context(), h.p, after, 7, time.Millisecond))(h)
			if len(page) == 0 {
				break
			}
			followed = append(followed, ids(page)...)
		}
		slices.Reverse(back)
		for how, got := range map[string][]events.ID{"forward": forward, "back": back, "followed": followed} {
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", how, got, want)
			}
		}
		if page := must(h.log.Range(t.Context(), h.p, want[3], want[9], 100))(h); !slices.Equal(ids(page), want[4:10]) {
			t.Errorf("from %s to %s: got %v", want[3], want[9], ids(page))
		}
		if last := must(h.log.Last(t.Context(), h.p))(h); last != want[24] {
			t.Errorf("the last is %s, want %s", last, want[24])
		}
		if n := must(h.log.Len(t.Context(), h.p))(h); n != 25 {
			t.Errorf("it has %d entries", n)
		}
	})
}

func TestAnEmptyLogReadsAsEmpty(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		if last := must(h.log.Last(t.Context(), h.p))(h); !last.IsZero() {
			t.Errorf("the last is %s", last)
		}
		if page := must(h.log.Follow(t.Context(), h.p, events.ID{}, 10, time.Millisecond))(h); len(page) > 0 {
			t.Errorf("follow: %v", page)
		}
		if len(h.all()) > 0 || must(h.log.Len(t.Context(), h.p))(h) > 0 {
			t.Error("there are entries")
		}
	})
}

func TestFollowWakesWithTheNextEvent(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		got := make(chan []eventlog.Entry)
		go func() {
			defer close(got)
			for { // the reader may start before or after the request
				page, err := h.log.Follow(t.Context(), h.p, events.ID{}, 10, eventlog.MaxBlock)
				if err != nil {
					t.Error(err)
					return
				}
				if len(page) > 0 {
					got <- page
					return
				}
			}
		}()
		receipt := h.request(want("a"))
		if page := <-got; len(page) != 1 || page[0].ID != receipt.Event {
			t.Errorf("got %v, want %s", page, receipt.Event)
		}
	})
}

func TestAnEntryThatIsNoEventStopsNobody(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		for _, fields := range [][]string{
			{"foo", "bar"},
			{"type", "TaskDue", "task", "a", "v", "1", "data", "no JSON"},
			{"type", "TaskExploded", "task", "a", "v", "1", "data", "{}"},
			{"type", "TaskDue", "task", "a", "v", "99", "data", "{}"},
		} {
			args := []any{"XADD", h.p.Events, "*"}
			for _, f := range fields {
				args = append(args, f)
			}
			must(h.rdb.Do(t.Context(), args...).Result())(h)
		}
		h.requested("b")
		forward := must(h.log.Range(t.Context(), h.p, events.ID{}, events.MaxID, 100))(h)
		followed := must(h.log.Follow(t.Context(), h.p, events.ID{}, 100, time.Millisecond))(h)
		back := must(h.log.RangeBack(t.Context(), h.p, events.MaxID, 100))(h)
		slices.Reverse(back)
		for how, page := range map[string][]eventlog.Entry{"forward": forward, "followed": followed, "back": back} {
			if len(page) != 6 || page[0].Task != "a" || page[5].Task != "b" {
				t.Fatalf("%s: %v", how, page)
			}
			for _, e := range page[1:5] {
				if !errors.Is(e.Err, events.ErrUndecodable) || e.ID.IsZero() {
					t.Errorf("%s: entry %s has the error %v", how, e.ID, e.Err)
				}
			}
		}
	})
}

func TestHistoryIsWhatTheLogStillHolds(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		a := h.running("a")
		h.running("b")
		must(h.log.Complete(t.Context(), a, 0, nil))(h)
		task := h.task("a")
		history := must(h.log.History(t.Context(), task))(h)
		if !slices.Equal(ids(history), task.Events) || word(history[3].Data) != "Completed(1,w1)" {
			t.Errorf("got %v, and the row names %v", history, task.Events)
		}
		must(h.rdb.XTrimMinID(t.Context(), h.p.Events, task.Events[2].String()).Result())(h)
		if history := must(h.log.History(t.Context(), task))(h); !slices.Equal(ids(history), task.Events[2:]) {
			t.Errorf("after a trim: %v", history)
		}
	})
}

func TestTasksLeavesOutWhatIsNotThere(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a", "b")
		tasks := must(h.log.Tasks(t.Context(), h.p, []string{"b", "gone", "a"}))(h)
		if len(tasks) != 2 || tasks[0].ID != "b" || tasks[1].ID != "a" {
			t.Errorf("got %+v", tasks)
		}
		if _, err := h.log.Task(t.Context(), "gone"); !errors.Is(err, eventlog.ErrNotFound) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnAnnouncedWorkerIsPresentUntilItLeaves(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		w := eventlog.Presence{Worker: `w"1`, Host: "h", PID: 7, Version: "v", Queues: []string{"q"}, Concurrency: 3, StartedAt: 5}
		for running := range 2 {
			w.Running = running
			if err := h.log.Announce(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		must(h.rdb.HSet(t.Context(), h.p.Workers, "odd", "no JSON").Result())(h)
		now := must(h.log.Now(t.Context()))(h).UnixMilli()
		present := must(h.log.Present(t.Context(), h.p))(h)
		if len(present) != 1 || present[0].Worker != w.Worker || present[0].Running != 1 || present[0].Concurrency != 3 {
			t.Fatalf("got %+v", present)
		}
		if seen := present[0].SeenAt; seen > now || seen < now-60_000 {
			t.Errorf("seen at %d, and it is %d", seen, now)
		}
		if err := h.log.Leave(t.Context(), w.Worker); err != nil {
			t.Fatal(err)
		}
		if present := must(h.log.Present(t.Context(), h.p))(h); len(present) != 0 {
			t.Errorf("then %+v", present)
		}
	})
}

func TestAWorkerThatWasSilentForLongIsDismissed(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for _, id := range []string{"killed", "alive"} {
			if err := h.log.Announce(t.Context(), eventlog.Presence{Worker: id}); err != nil {
				t.Fatal(err)
			}
		}
		if gone := must(h.log.Dismiss(t.Context(), h.p, hour))(h); len(gone) > 0 {
			t.Errorf("%v were heard of a moment ago", gone)
		}
		seen := must(h.log.Now(t.Context()))(h).Add(-2 * hour).UnixMilli()
		must(h.rdb.HSet(t.Context(), h.p.Workers, "killed", fmt.Sprintf(`{"worker":"killed","seenAt":%d}`, seen)).Result())(h)
		if gone := must(h.log.Dismiss(t.Context(), h.p, hour))(h); !slices.Equal(gone, []string{"killed"}) {
			t.Errorf("gone are %v", gone)
		}
		if left := must(h.rdb.HKeys(t.Context(), h.p.Workers).Result())(h); !slices.Equal(left, []string{"alive"}) {
			t.Errorf("left are %v", left)
		}
	})
}
