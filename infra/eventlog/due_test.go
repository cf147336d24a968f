package eventlog_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

func TestDueHandsTheBestTasksToTheWorkers(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for i, priority := range []int{5, 0, 5, events.MaxPriority, 1, 0} {
			r := want(fmt.Sprintf("t%d", i))
			r.Priority = priority
			h.request(r)
		}
		if d := must(h.log.Due(t.Context(), h.p, "q", 4, h.waiting("q")))(h); d.Done != 4 || d.Room != 0 || d.Paused {
			t.Errorf("got %+v", d)
		}
		if d := h.due("q"); d.Done != 2 {
			t.Errorf("then %+v", d)
		}
		var order []string
		for _, e := range h.all() {
			if e.Data.Type() == events.TypeTaskDue {
				order = append(order, e.Task)
			}
		}
		if want := []string{"t1", "t5", "t4", "t0", "t2", "t3"}; !slices.Equal(order, want) {
			t.Errorf("due in the order %v, want %v", order, want)
		}
		h.expect("t3", "Requested Due")
		if h.rdb.SIsMember(t.Context(), h.p.Ready, "q").Val() {
			t.Error("the queue counts as ready, and nothing waits")
		}
	})
}

func TestDueAllDoesNothingWhereOthersWait(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a", "b")
		members := h.waiting("q")
		h.unchanged(func() {
			if d := must(h.log.DueAll(t.Context(), h.p, "q", 10, members[1:]))(h); d.Done != 0 {
				t.Errorf("with another one before it: %+v", d)
			}
		})
		if d := must(h.log.DueAll(t.Context(), h.p, "q", 10, members))(h); d.Done != 2 {
			t.Errorf("all that wait: %+v", d)
		}
		h.expect("a", "Requested Due")
		h.expect("b", "Requested Due")
	})
}

func TestDueIsRepeatable(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a", "b")
		members := h.waiting("q")
		must(h.log.Due(t.Context(), h.p, "q", 10, members))(h)
		h.unchanged(func() {
			if d := must(h.log.Due(t.Context(), h.p, "q", 10, members))(h); d.Done != 0 || d.Room != 8 {
				t.Errorf("the second time %+v", d)
			}
		})
		h.expect("a", "Requested Due")
	})
}

func TestDueLeavesAloneWhatMustNotBeDue(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		r := want("early")
		r.Delay = hour
		receipt := h.request(r)
		h.running("active")
		h.requested("paused")
		for task, id := range map[string]events.ID{"early": receipt.Event, "active": h.task("active").Events[0], "gone": {Ms: 1}} {
			member := fmt.Sprintf("%013d-%010d:%s", id.Ms, id.Seq, task)
			must(h.rdb.ZAdd(t.Context(), h.p.Waiting("q"), redis.Z{Member: member}).Result())(h)
		}
		must(h.log.Pause(t.Context(), "q", "test"))(h)
		h.unchanged(func() {
			if d := h.due("q"); !d.Paused || d.Done != 0 {
				t.Errorf("paused: %+v", d)
			}
		})
		must(h.log.Resume(t.Context(), "q", "test"))(h)
		h.due("q")
		for task, story := range map[string]string{
			"early": "Requested(delayed)", "active": "Requested Due Started(1,w1)", "paused": "Requested Due", "gone": "",
		} {
			if got := h.tell(task); got != story {
				t.Errorf("the log says of task %s %q, want %q", task, got, story)
			}
		}
	})
}

func TestADispatchStreamThatIsAheadOfTheLogStopsNobody(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		future := &redis.XAddArgs{Stream: h.p.Due("q"), ID: "99999999999999-0", Values: []string{"poison", "1"}}
		must(h.rdb.XAdd(t.Context(), future).Result())(h)
		h.requested("a")
		h.due("q")
		h.due("q")
		must(h.rdb.XDel(t.Context(), h.p.Due("q"), future.ID).Result())(h)
		h.expect("a", "Requested Due")
		a := h.start("a", "w1")
		must(h.log.Complete(t.Context(), a, 0, nil))(h)
		h.expect("a", "Requested Due Started(1,w1) Completed(1,w1)")
	})
}

func TestALogThatIsAheadOfTheClockGoesOn(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		future := &redis.XAddArgs{
			Stream: h.p.Events, ID: "9999999999999-0",
			Values: []string{"type", "QueuePaused", "task", "", "v", "1", "data", `{"queue":"other"}`},
		}
		must(h.rdb.XAdd(t.Context(), future).Result())(h)
		a := h.running("a")
		must(h.log.Complete(t.Context(), a, 0, nil))(h)
		h.expect("a", "Requested Due Started(1,w1) Completed(1,w1)")
	})
}
