package eventlog_test

import (
	"testing"

	"github.com/tasklog/tasklog/events"
)

func TestMendPutsBackWhatTheLedgersLost(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for state, put := range in {
			put(h, string(state))
		}
		h.due("q") // so that nothing but this waits
		h.requested("also waiting")
		lost := map[string]string{
			"also waiting": "waiting", "delayed": "delayed", "retrying": "delayed", "due": "dispatch", "waiting": "dispatch", "active": "lease",
			"completed": "", "failed": "", "cancelled": "", "gone": "",
		}
		mend := func(want func(task string) string) {
			t.Helper()
			h.unchanged(func() {
				for task := range lost {
					if got := must(h.log.Mend(t.Context(), h.p, task, "q"))(h); got != want(task) {
						t.Errorf("%s: put back %q, want %q", task, got, want(task))
					}
				}
			})
		}
		nothing := func(string) string { return "" }
		mend(nothing)
		must(h.rdb.Del(t.Context(), h.p.Waiting("q"), h.p.Ready, h.p.Delayed, h.p.Due("q"), h.p.Leases).Result())(h)
		mend(func(task string) string { return lost[task] })
		mend(nothing)
		h.agree(h.all(), "also waiting", "delayed", "retrying", "due", "waiting", "active", "completed", "failed", "cancelled")
		must(h.log.Abandon(t.Context(), "active", 1, "w1", 0, nil))(h) // the lease that was put back has ended
	})
}

func TestADispatchEntryThatWasPutBackIsStartedOnce(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a", "b")
		h.due("q")
		lost := h.take("a", "w1")
		must(h.rdb.XDel(t.Context(), h.p.Due("q"), lost.Entry.String()).Result())(h)
		for _, want := range []string{"dispatch", ""} {
			if got := must(h.log.Mend(t.Context(), h.p, "a", "q"))(h); got != want {
				t.Errorf("put back %q, want %q", got, want)
			}
		}
		h.start("a", "w2")
		_, err := h.log.Start(t.Context(), lost, hour)
		fenced(t, "the entry that was lost", err, events.StateActive)
		h.start("b", "w1")
		h.expect("a", "Requested Due Started(1,w2)")
	})
}

func TestMendTellsThatAQueueIsReady(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		must(h.rdb.Del(t.Context(), h.p.Ready).Result())(h)
		for _, want := range []string{"ready", ""} {
			if got := must(h.log.Mend(t.Context(), h.p, "a", "q"))(h); got != want {
				t.Errorf("put back %q, want %q", got, want)
			}
		}
	})
}

func TestMendLeavesATaskOfAnotherQueueAlone(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		must(h.rdb.Del(t.Context(), h.p.Waiting("q")).Result())(h)
		if got := must(h.log.Mend(t.Context(), h.p, "a", "other"))(h); got != "" || len(h.waiting("other")) > 0 {
			t.Errorf("put back %q", got)
		}
	})
}
