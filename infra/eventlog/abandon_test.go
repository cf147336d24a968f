package eventlog_test

import (
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestAnAttemptIsAbandonedWhenItsLeaseHasEnded(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for _, test := range []struct {
			task  string
			retry *time.Duration
			state events.State
			story string
		}{
			{"again", new(hour), events.StateRetrying, "Failed(1,abandoned,retry)"},
			{"final", nil, events.StateFailed, "Failed(1,abandoned)"},
		} {
			a := h.running(test.task)
			h.expireLease(test.task)
			out := must(h.log.Abandon(t.Context(), test.task, 1, "w1", time.Second, test.retry))(h)
			if out.State != test.state || out.Event != h.task(test.task).Events[3] || out.DueAt != h.task(test.task).DueAt {
				t.Errorf("got %+v", out)
			}
			if v := h.locked(test.task); v != "" {
				t.Errorf("the mutex of the silent worker is still held: %s", v)
			}
			h.unchanged(func() {
				_, err := h.log.Abandon(t.Context(), test.task, 1, "w1", time.Second, test.retry)
				fenced(t, "asked again", err, test.state)
				errs := must(h.log.Extend(t.Context(), h.p, hour, []eventlog.Attempt{a}))(h)
				fenced(t, "extend", errs[0], test.state)
			})
			h.expect(test.task, "Requested Due Started(1,w1) "+test.story)
		}
	})
}

func TestAbandonIsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for state, put := range in {
			if state != events.StateActive && state != events.StateWaiting {
				put(h, string(state))
			}
		}
		h.running("leased")
		h.running("next attempt")
		h.expireLease("next attempt")
		in[events.StateWaiting](h, "waiting") // the last one, for the others make due all that waits
		h.unchanged(func() {
			_, err := h.log.Abandon(t.Context(), "leased", 1, "w1", 0, nil)
			fenced(t, "leased", err, events.StateActive)
			_, err = h.log.Abandon(t.Context(), "next attempt", 0, "w1", 0, nil)
			fenced(t, "next attempt", err, events.StateActive)
			for state := range in {
				if state != events.StateActive {
					_, err := h.log.Abandon(t.Context(), string(state), 1, "w1", 0, nil)
					fenced(t, string(state), err, state)
				}
			}
			_, err = h.log.Abandon(t.Context(), "gone", 1, "w1", 0, nil)
			fenced(t, "gone", err, events.StateNone)
		})
		h.agree(h.all(), "leased", "next attempt")
	})
}

func TestALeaseOfNobodyIsRemoved(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a")
		must(h.rdb.Do(t.Context(), "ZADD", h.p.Leases, "1", "a").Result())(h)
		_, err := h.log.Abandon(t.Context(), "a", 1, "w1", 0, nil)
		fenced(t, "abandon", err, events.StateWaiting)
		h.expect("a", "Requested")
	})
}
