package eventlog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// endings end a task in every way there is.
var endings = map[string]func(h *hand, task string){
	"completed": in[events.StateCompleted],
	"failed":    in[events.StateFailed],
	"cancelled": in[events.StateCancelled],
	"cancelled while it ran": func(h *hand, task string) {
		h.running(task)
		must(h.log.Cancel(h.Context(), task, "test", ""))(h)
	},
	"abandoned": func(h *hand, task string) {
		h.running(task)
		h.expireLease(task)
		must(h.log.Abandon(h.Context(), task, 1, "w1", 0, nil))(h)
	},
}

// left returns how long a row has still to live; negative when it has no end.
func (h *hand) left(task string) time.Duration {
	h.Helper()
	return must(h.rdb.PTTL(h.Context(), h.p.Task(task)).Result())(h)
}

func TestTheRowOfATaskThatIsOverGoesAfterTheRetention(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for name, end := range endings {
			end(h, name)
			list := h.task(name).Events
			want := list[len(list)-1].Time().Add(h.log.Retention())
			now := must(h.log.Now(t.Context()))(h)
			if got := now.Add(h.left(name)); got.Sub(want).Abs() > time.Second || h.left(name) <= 0 {
				t.Errorf("%s: its row goes at %s, want %s", name, got, want)
			}
		}
	})
}

func TestTheRowOfATaskThatIsNotOverStays(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for state, put := range in {
			put(h, string(state))
			if state == events.StateFailed || state == events.StateCancelled {
				must(h.log.Retry(t.Context(), string(state), "test", "again"))(h)
			}
			if left := h.left(string(state)); (left > 0) != (state == events.StateCompleted) {
				t.Errorf("%s: its row has %s to live", state, left)
			}
		}
	})
}

func TestAnIDMayBeAskedForAgainWhenItsRowIsGone(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for name, end := range endings {
			end(h, name)
			if r := h.request(want(name)); r.State == events.StateWaiting {
				t.Errorf("%s: while its row is there it was taken anew", name)
			}
			if err := h.rdb.Del(t.Context(), h.p.Task(name)).Err(); err != nil { // as Redis does at the end of the retention
				t.Fatal(err)
			}
			if r := h.request(want(name)); r.Duplicate || r.State != events.StateWaiting {
				t.Errorf("%s: %+v, want a new task", name, r)
			}
		}
		h.due("q")
		for name := range endings {
			must(h.rdb.Del(t.Context(), h.p.Lock(name)).Result())(h) // a worker that ran it may not have let go yet
			must(h.log.Complete(t.Context(), h.start(name, "w"), 0, nil))(h)
		}
		folded := h.fold(h.all()) // it fails where an event is illegal
		for name := range endings {
			got := folded[name]
			if row := h.task(name); got.State != events.StateCompleted || got.Attempt != 1 || len(got.Events) != 4 || len(row.Events) != 4 {
				t.Errorf("%s: the log says %+v, its row %+v; want a life of four events", name, got, row)
			}
		}
	})
}

func TestARetentionThatMakesNoSenseIsRefused(t *testing.T) {
	conn := testredis.Connect(t, testredis.Start(t).URL())
	for _, d := range []time.Duration{-1, time.Second, 200 * 366 * 24 * time.Hour} {
		_, err := eventlog.Open(t.Context(), conn, eventlog.Config{Retention: d})
		if field, ok := errors.AsType[*events.FieldError](err); !ok || field.Field != "retention" {
			t.Errorf("%s: %v, want an error that names retention", d, err)
		}
	}
}
