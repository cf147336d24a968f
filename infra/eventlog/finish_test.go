package eventlog_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// fenced fails the test unless err is an ErrFenced that names a state.
func fenced(t *testing.T, what string, err error, state events.State) {
	t.Helper()
	if f, ok := errors.AsType[*eventlog.FencedError](err); !ok || !errors.Is(err, eventlog.ErrFenced) || f.State != state {
		t.Errorf("%s: %v, want fenced while %s", what, err, state)
	}
}

func TestAnAttemptEndsOnce(t *testing.T) {
	retry := new(time.Duration(hour))
	for _, test := range []struct {
		name  string
		story string
		state events.State
		end   func(*hand, eventlog.Attempt) (eventlog.Outcome, error)
	}{
		{"completed", "Completed(1,w1)", events.StateCompleted, func(h *hand, a eventlog.Attempt) (eventlog.Outcome, error) {
			return h.log.Complete(h.Context(), a, time.Second, []byte(`{"n":12345678901234567890,"a":[]}`))
		}},
		{"failed, to be retried", "Failed(1,error,retry)", events.StateRetrying, func(h *hand, a eventlog.Attempt) (eventlog.Outcome, error) {
			return h.log.Fail(h.Context(), a, time.Second, events.ReasonError, "no \"luck\"\n\x00", retry)
		}},
		{"failed for good", "Failed(1,rejected)", events.StateFailed, func(h *hand, a eventlog.Attempt) (eventlog.Outcome, error) {
			return h.log.Fail(h.Context(), a, time.Second, events.ReasonRejected, "never", nil)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			each(t, func(t *testing.T, h *hand) {
				a := h.running("a")
				first := must(test.end(h, a))(h)
				task := h.task("a")
				if first.State != test.state || first.Event != task.Events[3] {
					t.Errorf("got %+v, and the task is %+v", first, task)
				}
				switch {
				case test.state != events.StateRetrying && first.DueAt != 0:
					t.Errorf("it is over, and due again at %d", first.DueAt)
				case test.state == events.StateRetrying && (first.DueAt != task.DueAt || first.DueAt < first.Event.Ms+hour.Milliseconds()-1000):
					t.Errorf("it failed at %d and is due again at %d, by its row at %d", first.Event.Ms, first.DueAt, task.DueAt)
				}
				if v := h.locked("a"); v != "" {
					t.Errorf("the mutex is still held: %s", v)
				}
				h.unchanged(func() {
					if again := must(test.end(h, a))(h); again != first {
						t.Errorf("asked again: %+v, at first %+v", again, first)
					}
				})
				h.expect("a", "Requested Due Started(1,w1) "+test.story)
			})
		})
	}
}

func TestWhatTheBodyOfAnEndTells(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		must(h.log.Complete(t.Context(), h.running("a"), 1500*time.Millisecond, []byte(`[]`)))(h)
		must(h.log.Fail(t.Context(), h.running("b"), 2*time.Second, events.ReasonPanic, "x\n", nil))(h)
		about := events.Label{Queue: "q", Name: "test"}
		for _, e := range h.all() {
			switch d := e.Data.(type) {
			case events.TaskCompleted:
				if d.Label != about || d.RunMs != 1500 || string(d.Result) != "[]" {
					t.Errorf("got %+v", d)
				}
			case events.TaskFailed:
				if want := (events.TaskFailed{Label: about, Attempt: 1, Worker: "w1", RunMs: 2000, Error: "x\n", Reason: events.ReasonPanic}); d != want {
					t.Errorf("got %+v, want %+v", d, want)
				}
			default:
			}
		}
	})
}

func TestFinishIsRefusedAfterTheAttemptWasAbandoned(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		a := h.running("a")
		h.expireLease("a")
		must(h.log.Abandon(t.Context(), "a", 1, "w1", 0, nil))(h)
		h.unchanged(func() {
			_, err := h.log.Complete(t.Context(), a, 0, nil)
			fenced(t, "complete", err, events.StateFailed)
			_, err = h.log.Fail(t.Context(), a, 0, events.ReasonError, "", nil)
			fenced(t, "fail", err, events.StateFailed)
		})
	})
}

func TestFinishIsRefusedToWhoeverDoesNotHoldTheTask(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		a := h.running("a")
		stranger, earlier, gone := a, a, a
		stranger.Token = "another"
		earlier.Number = 0
		gone.Task = "gone"
		h.unchanged(func() {
			_, err := h.log.Complete(t.Context(), stranger, 0, nil)
			fenced(t, "another token", err, events.StateActive)
			_, err = h.log.Complete(t.Context(), earlier, 0, nil)
			fenced(t, "another attempt", err, events.StateActive)
			_, err = h.log.Complete(t.Context(), gone, 0, nil)
			fenced(t, "no task", err, events.StateNone)
		})
		h.expect("a", "Requested Due Started(1,w1)")
		if h.locked("a") != a.Token {
			t.Error("the mutex was released")
		}
	})
}

func TestALockThatMerelyExpiredCostsNothing(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		a := h.running("a")
		must(h.rdb.Set(t.Context(), h.p.Lock("a"), "of another", hour).Result())(h)
		must(h.log.Complete(t.Context(), a, 0, nil))(h)
		if h.locked("a") != "of another" {
			t.Error("the mutex of another was released")
		}
		h.expect("a", "Requested Due Started(1,w1) Completed(1,w1)")
	})
}

func TestAResultThatIsNotJSONIsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		a := h.running("a")
		h.unchanged(func() {
			if _, err := h.log.Complete(t.Context(), a, 0, []byte(`{`)); err == nil || errors.Is(err, eventlog.ErrFenced) {
				t.Errorf("got %v", err)
			}
		})
		must(h.log.Complete(t.Context(), a, 0, nil))(h)
	})
}

func TestAPayloadIsStoredOnceWhenItsTaskIsCompleted(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for size, task := range map[int]string{0: "none", 100: "small", 5000: "large"} {
			r := want(task)
			r.Payload, r.Priority, r.TimeoutMs = []byte(`"`+strings.Repeat("x", size)+`"`), 3, 1000
			h.request(r)
			h.due("q")
			a := h.start(task, "w1")
			whole := h.task(task).Definition
			must(h.log.Complete(t.Context(), a, time.Second, nil))(h)
			row := must(h.rdb.HGetAll(t.Context(), h.p.Task(task)).Result())(h)
			for field, value := range row {
				if strings.HasPrefix(field, "def") {
					t.Errorf("the row of %s has %s=%s", task, field, value)
				}
			}
			if got := h.task(task).Definition; !reflect.DeepEqual(got, whole) {
				t.Errorf("%s: got %+v, want %+v", task, got, whole)
			}
			list := must(h.log.Tasks(t.Context(), h.p, []string{task}))(h)
			if len(list) != 1 || list[0].Priority != 3 || list[0].State != events.StateCompleted {
				t.Errorf("%s: listed as %+v", task, list)
			}
		}
	})
}
