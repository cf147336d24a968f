package eventlog_test

import (
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestPromoteMovesWhatIsDueAndNothingElse(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		var tasks []eventlog.Promotion
		var latest int64
		for task, delay := range map[string]time.Duration{"soon": time.Millisecond, "late": hour} {
			r := want(task)
			r.Delay = delay
			receipt := h.request(r)
			tasks = append(tasks, eventlog.Promotion{Task: task, Queue: "q", Requested: receipt.Event})
			if task == "soon" {
				latest = receipt.DueAt
			}
		}
		tasks = append(tasks, eventlog.Promotion{Task: "gone", Queue: "q", Requested: tasks[0].Requested})
		h.await(latest)
		for _, want := range []int{1, 0} { // the second time nothing is left to move
			if n := must(h.log.Promote(t.Context(), h.p, "q", tasks))(h); n != want {
				t.Errorf("moved %d, want %d", n, want)
			}
			h.agree(h.all(), "soon", "late")
			if n := len(h.waiting("q")); n != 1 {
				t.Errorf("%d tasks wait", n)
			}
		}
		h.due("q")
		h.expect("soon", "Requested(delayed) Due(delayed)")
		h.expect("late", "Requested(delayed)")
	})
}

func TestAPromotedTaskKeepsItsPlaceInTheLog(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		r := want("first")
		r.Delay = time.Millisecond
		receipt := h.request(r)
		h.requested("second")
		h.await(receipt.DueAt)
		p := eventlog.Promotion{Task: "first", Queue: "q", Requested: receipt.Event}
		must(h.log.Promote(t.Context(), h.p, "q", []eventlog.Promotion{p}))(h)
		must(h.log.Due(t.Context(), h.p, "q", 1, h.waiting("q")))(h)
		h.expect("first", "Requested(delayed) Due(delayed)")
		h.expect("second", "Requested")
	})
}
