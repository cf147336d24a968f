package eventlog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestExtendMovesTheLeasesAndMutexesOfThoseWhoStillHold(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		held, lost, unlocked, taken := h.running("held"), h.running("lost"), h.running("unlocked"), h.running("taken")
		must(h.log.Cancel(t.Context(), "lost", "test", ""))(h)
		must(h.rdb.Del(t.Context(), h.p.Lock("unlocked")).Result())(h)
		must(h.rdb.Set(t.Context(), h.p.Lock("taken"), "of another", hour).Result())(h)
		gone := held
		gone.Task = "gone"
		ended := must(h.log.Now(t.Context()))(h)
		for range 2 {
			h.expireLease("held")
			h.unchanged(func() {
				errs := must(h.log.Extend(t.Context(), h.p, 2*hour, []eventlog.Attempt{held, lost, unlocked, gone, taken}))(h)
				for i, err := range errs {
					switch i {
					case 1:
						fenced(t, "lost", err, events.StateCancelled)
					case 3:
						fenced(t, "gone", err, events.StateNone)
					default:
						if err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		for _, task := range []string{"held", "unlocked", "taken"} {
			end := time.UnixMilli(int64(h.rdb.ZScore(t.Context(), h.p.Leases, task).Val()))
			if end.Sub(ended) < 2*hour-time.Second {
				t.Errorf("the lease of %s ends in %s", task, end.Sub(ended))
			}
		}
		for task, value := range map[string]string{"held": held.Token, "unlocked": unlocked.Token, "taken": "of another"} {
			if got := h.locked(task); got != value {
				t.Errorf("the mutex of %s is %q, want %q", task, got, value)
			}
		}
		if ttl := h.rdb.PTTL(t.Context(), h.p.Lock("held")).Val(); ttl < hour+time.Minute {
			t.Errorf("the mutex lives %s", ttl)
		}
		_, err := h.log.Abandon(t.Context(), "held", 1, "w1", 0, nil)
		fenced(t, "abandon", err, events.StateActive)
		h.agree(h.all(), "held", "lost", "unlocked", "taken")
	})
}

func TestExtendTakesAHundredAttempts(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		var attempts []eventlog.Attempt
		for i := range eventlog.MaxItems / 2 {
			attempts = append(attempts, h.running(fmt.Sprintf("t%d", i)))
		}
		for i, err := range must(h.log.Extend(t.Context(), h.p, hour, attempts))(h) {
			if err != nil {
				t.Errorf("attempt %d: %v", i, err)
			}
		}
		if errs := must(h.log.Extend(t.Context(), h.p, hour, nil))(h); len(errs) != 0 {
			t.Errorf("of none: %v", errs)
		}
	})
}
