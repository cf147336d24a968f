package eventlog_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestASweepFindsTheLeasesThatEnded(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		if s := must(h.log.Sweep(t.Context(), h.p, hour, hour))(h); len(s.Overdue) > 0 || s.NextEnd != 0 || s.Spared != 0 || s.MoreLeft {
			t.Errorf("of nothing: %+v", s)
		}
		for _, task := range []string{"a", "b", "c"} {
			h.running(task)
		}
		if s := must(h.log.Sweep(t.Context(), h.p, hour, hour))(h); len(s.Overdue) > 0 || s.NextEnd <= s.Now {
			t.Errorf("while all leases run: %+v", s)
		}
		h.expireLease("a")
		h.expireLease("c")
		for range 2 { // a sweep only looks
			s := must(h.log.Sweep(t.Context(), h.p, hour, hour))(h)
			if slices.Sort(s.Overdue); !slices.Equal(s.Overdue, []string{"a", "c"}) || s.MoreLeft || s.Spared != 0 {
				t.Errorf("got %+v", s)
			}
		}
		h.agree(h.all(), "a", "b", "c")
	})
}

func TestALongTimeWithoutASweepSparesEveryLease(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		var all []string
		for i := range eventlog.MaxItems + 1 {
			task := fmt.Sprintf("t%d", i)
			h.running(task)
			all = append(all, task)
		}
		must(h.log.Sweep(t.Context(), h.p, hour, hour))(h)
		for _, task := range all {
			h.expireLease(task)
		}
		const longAgo = 1
		must(h.rdb.Set(t.Context(), h.p.Swept, longAgo, 0).Result())(h)
		spared := 0
		for more := true; more; {
			s := must(h.log.Sweep(t.Context(), h.p, time.Minute, hour))(h)
			if len(s.Overdue) > 0 {
				t.Errorf("%d attempts were judged", len(s.Overdue))
			}
			spared, more = spared+s.Spared, s.MoreLeft
		}
		if spared != len(all) {
			t.Errorf("%d of %d leases got more time", spared, len(all))
		}
		if s := must(h.log.Sweep(t.Context(), h.p, time.Minute, hour))(h); s.Spared != 0 || len(s.Overdue) != 0 {
			t.Errorf("then %+v", s)
		}
		h.expireLease("t7")
		if s := must(h.log.Sweep(t.Context(), h.p, time.Minute, hour))(h); !slices.Equal(s.Overdue, []string{"t7"}) {
			t.Errorf("a lease that ends after that: %+v", s)
		}
	})
}

func TestASweepIsBounded(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for i := range eventlog.MaxItems + 1 {
			must(h.rdb.Do(t.Context(), "ZADD", h.p.Leases, 1, fmt.Sprint(i)).Result())(h)
		}
		if s := must(h.log.Sweep(t.Context(), h.p, hour, hour))(h); len(s.Overdue) != eventlog.MaxItems || !s.MoreLeft {
			t.Errorf("%d are overdue, more %t", len(s.Overdue), s.MoreLeft)
		}
	})
}
