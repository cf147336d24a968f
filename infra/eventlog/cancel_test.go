package eventlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// in puts a task into the log in each state that a task can be in.
var in = map[events.State]func(h *hand, task string){
	events.StateDelayed: func(h *hand, task string) {
		r := want(task)
		r.Delay = hour
		h.request(r)
	},
	events.StateWaiting: func(h *hand, task string) { h.requested(task) },
	events.StateDue: func(h *hand, task string) {
		h.requested(task)
		h.due("q")
	},
	events.StateActive: func(h *hand, task string) { h.running(task) },
	events.StateRetrying: func(h *hand, task string) {
		must(h.log.Fail(h.Context(), h.running(task), 0, events.ReasonError, "", new(hour)))(h)
	},
	events.StateCompleted: func(h *hand, task string) {
		must(h.log.Complete(h.Context(), h.running(task), 0, nil))(h)
	},
	events.StateFailed: func(h *hand, task string) {
		must(h.log.Fail(h.Context(), h.running(task), 0, events.ReasonError, "", nil))(h)
	},
	events.StateCancelled: func(h *hand, task string) {
		h.requested(task)
		must(h.log.Cancel(h.Context(), task, "test", ""))(h)
	},
}

func TestCancelEndsATaskThatIsNotOver(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for state, put := range in {
			if state.Final() {
				continue
			}
			task := string(state)
			put(h, task)
			before := h.tell(task)
			first := must(h.log.Cancel(t.Context(), task, "test", "why"))(h)
			h.unchanged(func() {
				if again := must(h.log.Cancel(t.Context(), task, "another", "why not"))(h); again != first {
					t.Errorf("%s: asked again: %s, at first %s", state, again, first)
				}
			})
			h.expect(task, before+" Cancelled("+task+")")
		}
	})
}

func TestCancelIsRefusedWhenTheTaskIsOver(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for _, state := range []events.State{events.StateCompleted, events.StateFailed} {
			in[state](h, string(state))
			h.unchanged(func() {
				_, err := h.log.Cancel(t.Context(), string(state), "test", "")
				if r, ok := errors.AsType[*eventlog.RefusedError](err); !ok || r.State != state || r.What != "cancelled" {
					t.Errorf("%s: %v", state, err)
				}
			})
		}
		h.unchanged(func() {
			if _, err := h.log.Cancel(t.Context(), "gone", "test", ""); !errors.Is(err, eventlog.ErrNotFound) {
				t.Errorf("no task: %v", err)
			}
		})
	})
}

func TestAPromotedTaskCanBeCancelled(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		r := want("a")
		r.Delay = time.Millisecond
		receipt := h.request(r)
		h.await(receipt.DueAt)
		p := eventlog.Promotion{Task: "a", Queue: "q", Requested: receipt.Event}
		must(h.log.Promote(t.Context(), h.p, "q", []eventlog.Promotion{p}))(h)
		must(h.log.Cancel(t.Context(), "a", "test", ""))(h)
		h.expect("a", "Requested(delayed) Cancelled(delayed)")
	})
}

func TestACancelledAttemptKeepsItsMutexAndLosesItsLease(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		signals := h.log.Conn().Block.Subscribe(t.Context(), h.p.Signals)
		defer func() {
			if err := signals.Close(); err != nil {
				t.Error(err)
			}
		}()
		must(signals.Receive(t.Context()))(h)
		a := h.running("a")
		must(h.log.Cancel(t.Context(), "a", "test", ""))(h)
		for {
			msg := must(signals.ReceiveMessage(t.Context()))(h)
			if msg.Payload == "cancel a" {
				break
			}
		}
		if h.locked("a") != a.Token {
			t.Error("the mutex was released while the handler may run")
		}
		errs := must(h.log.Extend(t.Context(), h.p, hour, []eventlog.Attempt{a}))(h)
		fenced(t, "extend", errs[0], events.StateCancelled)
		h.unchanged(func() {
			_, err := h.log.Complete(t.Context(), a, 0, nil)
			fenced(t, "complete", err, events.StateCancelled)
		})
	})
}
