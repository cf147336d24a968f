package eventlog_test

import (
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
)

func TestAReleasedAttemptIsNotCounted(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		for n := 1; n <= 3; n++ { // one more than the task has
			h.due("q")
			a := h.take("a", "w1")
			if s := must(h.log.Start(t.Context(), a, hour))(h); a.Number != n || s.Attempts != 1 {
				t.Errorf("attempt %d counts as number %d", a.Number, s.Attempts)
			}
			a.Entry = events.ID{}
			first := must(h.log.Release(t.Context(), a, events.ReasonShutdown, nil))(h)
			if first.State != events.StateWaiting || h.locked("a") != "" {
				t.Errorf("got %+v, the mutex is %q", first, h.locked("a"))
			}
			h.unchanged(func() {
				if again := must(h.log.Release(t.Context(), a, events.ReasonShutdown, nil))(h); again != first {
					t.Errorf("asked again: %+v, at first %+v", again, first)
				}
				_, err := h.log.Complete(t.Context(), a, 0, nil)
				fenced(t, "complete", err, events.StateWaiting)
			})
		}
		h.expect("a", "Requested Due Started(1,w1) Released(1,active,shutdown) Due Started(2,w1) Released(2,active,shutdown) "+
			"Due Started(3,w1) Released(3,active,shutdown)")
	})
}

func TestADispatchedTaskCanBeGivenBackUnstarted(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		h.due("q")
		a := h.take("a", "w1")
		first := must(h.log.Release(t.Context(), a, events.ReasonNoHandler, new(hour)))(h)
		if first.State != events.StateRetrying || first.DueAt != h.task("a").DueAt || first.DueAt-first.Event.Ms < hour.Milliseconds()-1000 {
			t.Errorf("got %+v", first)
		}
		h.unchanged(func() {
			if again := must(h.log.Release(t.Context(), a, events.ReasonNoHandler, new(hour)))(h); again != first {
				t.Errorf("asked again: %+v, at first %+v", again, first)
			}
		})
		h.expect("a", "Requested Due Released(1,due,no handler,retry)")
	})
}

func TestReleaseIsRefusedToWhoeverDoesNotHoldTheTask(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		h.due("q")
		unstarted := h.take("a", "w2")
		a := h.start("a", "w1")
		stranger, gone := a, a
		stranger.Token = "another"
		gone.Task = "gone"
		h.unchanged(func() {
			_, err := h.log.Release(t.Context(), unstarted, events.ReasonShutdown, nil)
			fenced(t, "before the start, by another", err, events.StateActive)
			_, err = h.log.Release(t.Context(), stranger, events.ReasonShutdown, nil)
			fenced(t, "another token", err, events.StateActive)
			_, err = h.log.Release(t.Context(), gone, events.ReasonShutdown, nil)
			fenced(t, "no task", err, events.StateNone)
		})
		h.expireLease("a")
		must(h.log.Abandon(t.Context(), "a", 1, "w1", 0, new(time.Duration(0))))(h)
		h.unchanged(func() {
			_, err := h.log.Release(t.Context(), a, events.ReasonShutdown, nil)
			fenced(t, "abandoned", err, events.StateRetrying)
		})
		h.agree(h.all(), "a")
	})
}
