package eventlog_test

import (
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// A deed is a decision about task "a". prepare leads the task to where it can be taken, and returns
// it. It answers with what must be the same when it is asked for again.
type deed struct {
	name    string
	appends int
	prepare func(d *hand) decision
}

type decision = func(h *hand) (any, error)

// deeds are all decisions.
var deeds = []deed{
	{"request", 1, func(*hand) decision {
		return func(h *hand) (any, error) {
			receipt, err := h.log.Request(h.Context(), want("a"))
			return receipt, err
		}
	}},
	{"promote", 0, func(d *hand) decision {
		r := want("a")
		r.Delay = time.Millisecond
		receipt := d.request(r)
		d.await(receipt.DueAt)
		return func(h *hand) (any, error) {
			_, err := h.log.Promote(h.Context(), h.p, "q", []eventlog.Promotion{{Task: "a", Queue: "q", Requested: receipt.Event}})
			return nil, err // how many were moved is for metrics
		}
	}},
	{"due", 1, func(d *hand) decision {
		d.requested("a")
		members := d.waiting("q")
		return func(h *hand) (any, error) {
			dispatched, err := h.log.Due(h.Context(), h.p, "q", 10, members)
			dispatched.Done = 0 // for metrics, too
			return dispatched, err
		}
	}},
	{"start", 1, func(d *hand) decision {
		d.requested("a")
		d.due("q")
		a := d.take("a", "w1")
		return func(h *hand) (any, error) {
			started, err := h.log.Start(h.Context(), a, hour)
			started.LeaseUntil = 0 // it is longer the second time
			return started, err
		}
	}},
	{"complete", 1, running(func(h *hand, a eventlog.Attempt) (any, error) {
		return h.log.Complete(h.Context(), a, 0, nil)
	})},
	{"fail", 1, running(func(h *hand, a eventlog.Attempt) (any, error) {
		return h.log.Fail(h.Context(), a, 0, events.ReasonError, "", new(hour))
	})},
	{"release", 1, running(func(h *hand, a eventlog.Attempt) (any, error) {
		return h.log.Release(h.Context(), a, events.ReasonShutdown, nil)
	})},
	{"release before the start", 1, func(d *hand) decision {
		d.requested("a")
		d.due("q")
		a := d.take("a", "w1")
		return func(h *hand) (any, error) {
			return h.log.Release(h.Context(), a, events.ReasonShutdown, nil)
		}
	}},
	{"extend", 0, running(func(h *hand, a eventlog.Attempt) (any, error) {
		errs, err := h.log.Extend(h.Context(), h.p, hour, []eventlog.Attempt{a})
		return nil, errors.Join(append(errs, err)...)
	})},
	{"abandon", 1, running(func(h *hand, a eventlog.Attempt) (any, error) {
		_, err := h.log.Abandon(h.Context(), "a", a.Number, a.Worker, 0, nil)
		if f, ok := errors.AsType[*eventlog.FencedError](err); ok && f.State == events.StateFailed {
			return nil, nil // it may have been another sweeper: the attempt is over
		}
		return nil, err
	})},
	{"sweep", 0, running(func(h *hand, _ eventlog.Attempt) (any, error) {
		swept, err := h.log.Sweep(h.Context(), h.p, hour, hour)
		if err == nil && !slices.Equal(swept.Overdue, []string{"a"}) {
			return nil, errors.New("it did not find the lease that ended")
		}
		return nil, err
	})},
	{"cancel", 1, running(func(h *hand, _ eventlog.Attempt) (any, error) {
		return h.log.Cancel(h.Context(), "a", "test", "")
	})},
	{"retry", 1, func(d *hand) decision {
		d.requested("a")
		must(d.log.Cancel(d.Context(), "a", "test", ""))(d)
		return func(h *hand) (any, error) { return h.log.Retry(h.Context(), "a", "test", "r1") }
	}},
	{"pause", 1, func(*hand) decision {
		return func(h *hand) (any, error) {
			_, err := h.log.Pause(h.Context(), "q", "test") // whether it was this call is for people
			return nil, err
		}
	}},
	{"resume", 1, func(d *hand) decision {
		must(d.log.Pause(d.Context(), "q", "test"))(d)
		return func(h *hand) (any, error) {
			_, err := h.log.Resume(h.Context(), "q", "test")
			return nil, err
		}
	}},
	{"mend", 0, func(d *hand) decision {
		d.requested("a")
		must(d.rdb.Del(d.Context(), d.p.Waiting("q")).Result())(d)
		return func(h *hand) (any, error) {
			_, err := h.log.Mend(h.Context(), h.p, "a", "q") // what was amiss is for metrics
			return nil, err
		}
	}},
	{"drop", 0, func(d *hand) decision {
		must(d.rdb.ZAdd(d.Context(), d.p.Delayed, redis.Z{Member: "nobody", Score: 1}).Result())(d)
		return func(h *hand) (any, error) {
			_, err := h.log.Drop(h.Context(), h.p.Delayed, []string{"nobody"}) // how many went is for metrics
			return nil, err
		}
	}},
	{"tally", 0, func(d *hand) decision {
		d.cancelled("a")
		list, upto := d.ended(events.ID{})
		return func(h *hand) (any, error) { return nil, h.log.Tally(h.Context(), h.p, events.ID{}, upto, list) }
	}},
	{"retire", 0, func(d *hand) decision {
		old := "old"
		for d.log.Of(old) != d.p { // of many partitions, that of "a"
			old += "er"
		}
		d.cancelled(old, "a")
		d.follow()
		return func(h *hand) (any, error) {
			retired, err := h.log.Retire(h.Context(), h.p, "q", 1, 0)
			retired.Rows = 0 // for metrics
			return retired, err
		}
	}},
	{"trim", -1, func(d *hand) decision {
		must(d.log.Pause(d.Context(), "q", "test"))(d)
		d.requested("a")
		all := d.all()
		must(d.rdb.HSet(d.Context(), d.p.View("head"), "checkpoint", all[len(all)-1].ID.String()).Result())(d)
		return func(h *hand) (any, error) {
			held, err := h.log.Trim(h.Context(), h.p, all[0].ID)
			if err == nil && held != nil {
				return nil, errors.New("it was held by " + held.By)
			}
			return nil, err
		}
	}},
	{"swap", 0, func(*hand) decision {
		return func(h *hand) (any, error) { return nil, h.log.Swap(h.Context(), h.p, "", "me") }
	}},
	{"adopt", 2, func(d *hand) decision {
		d.succeed(d.log.Swap(d.Context(), d.p, "", "me"))
		entries := []eventlog.Raw{
			{ID: events.ID{Ms: 7}, Fields: []string{"type", "QueuePaused", "task", "", "v", "1", "data", `{"queue":"q","by":"test"}`}},
			{ID: events.ID{Ms: 7, Seq: 1}, Fields: []string{"type", "QueueResumed", "task", "", "v", "1", "data", `{"queue":"q","by":"test"}`}},
		}
		return func(h *hand) (any, error) { return nil, h.log.Adopt(h.Context(), h.p, "me", 0, entries) }
	}},
	{"grab", 0, func(d *hand) decision {
		must(d.rdb.XGroupCreateMkStream(d.Context(), d.p.Due("q"), eventlog.Group, "0").Result())(d)
		d.requested("a")
		d.due("q")
		return func(h *hand) (any, error) {
			_, err := h.log.Grab(h.Context(), h.p, "w1", []string{"q"}, 1) // what a lost reply had is claimed
			return nil, err
		}
	}},
	{"forget", 0, func(d *hand) decision {
		must(d.rdb.XGroupCreateMkStream(d.Context(), d.p.Due("q"), eventlog.Group, "0").Result())(d)
		must(d.rdb.XGroupCreateConsumer(d.Context(), d.p.Due("q"), eventlog.Group, "w1").Result())(d)
		return func(h *hand) (any, error) {
			gone, err := h.log.Forget(h.Context(), h.p, "q", "w1")
			if err == nil && !gone {
				return nil, errors.New("the consumer is still there")
			}
			return nil, err
		}
	}},
	{"announce", 0, func(*hand) decision {
		return func(h *hand) (any, error) {
			return nil, h.log.Announce(h.Context(), eventlog.Presence{Worker: "w1"})
		}
	}},
}

// running prepares a deed of the worker, or to the worker, that runs task "a" and whose lease has ended.
func running(f func(h *hand, a eventlog.Attempt) (any, error)) func(d *hand) decision {
	return func(d *hand) decision {
		a := d.running("a")
		d.expireLease("a")
		return func(h *hand) (any, error) { return f(h, a) }
	}
}
