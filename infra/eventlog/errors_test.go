package eventlog_test

import (
	"maps"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
)

func TestErrorsAreThoseOfFailedAndRetryingTasks(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		soon := time.Minute
		list := []string{"failed", "retrying", "retried", "released", "cancelled", "done"}
		for _, task := range list {
			a := h.running(task)
			switch task {
			case "failed", "retried":
				must(h.log.Fail(t.Context(), a, 0, events.ReasonError, "no such address", nil))(h)
			case "retrying":
				must(h.log.Fail(t.Context(), a, 0, events.ReasonTimeout, "took too long", &soon))(h)
			case "released":
				must(h.log.Release(t.Context(), a, events.ReasonShutdown, &soon))(h)
			case "done":
				must(h.log.Complete(t.Context(), a, 0, nil))(h)
			}
		}
		must(h.log.Cancel(t.Context(), "cancelled", "test", "not wanted"))(h)
		must(h.log.Retry(t.Context(), "retried", "test", "again"))(h)

		tasks := must(h.log.Tasks(t.Context(), h.p, list))(h)
		got := must(h.log.Errors(t.Context(), tasks))(h)
		if want := map[string]string{"failed": "no such address", "retrying": "took too long"}; !maps.Equal(got, want) {
			t.Errorf("the errors of %d tasks are %v, want %v", len(tasks), got, want)
		}

		must(h.rdb.XTrimMaxLen(t.Context(), h.p.Events, 0).Result())(h)
		if got := must(h.log.Errors(t.Context(), tasks))(h); len(got) > 0 {
			t.Errorf("where the log was trimmed the errors are %v", got)
		}
	})
}
