package eventlog_test

import (
	"errors"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestRetryOpensATaskThatFailedOrWasCancelled(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for _, state := range []events.State{events.StateFailed, events.StateCancelled} {
			task := string(state)
			in[state](h, task)
			before := h.tell(task)
			first := must(h.log.Retry(t.Context(), task, "test", "request 1"))(h)
			h.unchanged(func() {
				if again := must(h.log.Retry(t.Context(), task, "test", "request 1"))(h); again != first {
					t.Errorf("asked again: %s, at first %s", again, first)
				}
			})
			h.due("q")
			h.unchanged(func() { // also later, when the task has moved on
				if again := must(h.log.Retry(t.Context(), task, "test", "request 1"))(h); again != first {
					t.Errorf("asked later: %s, at first %s", again, first)
				}
			})
			h.expect(task, before+" RetryRequested("+task+") Due")
		}
	})
}

func TestRetryIsRefusedInEveryOtherState(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for state, put := range in {
			if state == events.StateFailed || state == events.StateCancelled {
				continue
			}
			put(h, string(state))
			h.unchanged(func() {
				_, err := h.log.Retry(t.Context(), string(state), "test", "request 1")
				if r, ok := errors.AsType[*eventlog.RefusedError](err); !ok || r.State != state || r.What != "retried" {
					t.Errorf("%s: %v", state, err)
				}
			})
		}
		h.unchanged(func() {
			if _, err := h.log.Retry(t.Context(), "gone", "test", "request 1"); !errors.Is(err, eventlog.ErrNotFound) {
				t.Errorf("no task: %v", err)
			}
		})
	})
}

func TestARetriedTaskHasAllItsAttemptsAgainAndNewNumbers(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		in[events.StateFailed](h, "a")
		for n := 2; n <= 4; n++ {
			must(h.log.Retry(t.Context(), "a", "test", h.tell("a")))(h)
			h.due("q")
			a := h.take("a", "w1")
			if s := must(h.log.Start(t.Context(), a, hour))(h); a.Number != n || s.Attempts != 1 {
				t.Errorf("attempt %d counts as number %d", a.Number, s.Attempts)
			}
			must(h.log.Fail(t.Context(), a, 0, events.ReasonError, "", nil))(h)
		}
	})
}

func TestANewRetryAfterTheLastOneIsAnotherOne(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		in[events.StateCancelled](h, "a")
		must(h.log.Retry(t.Context(), "a", "test", "request 1"))(h)
		must(h.log.Cancel(t.Context(), "a", "test", ""))(h)
		must(h.log.Retry(t.Context(), "a", "test", "request 2"))(h)
		h.expect("a", "Requested Cancelled(waiting) RetryRequested(cancelled) Cancelled(waiting) RetryRequested(cancelled)")
	})
}
