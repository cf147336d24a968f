package dashboard_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/wire"
)

// million is an overview of 200 queues with a million tasks, 10 000 of which failed.
func million() dashboard.Overview {
	now := time.UnixMilli(1_764_000_000_000)
	o := dashboard.Overview{
		Base: dashboard.Base{Now: now}, Charts: week(), All: 200, Totals: queues.Counts{},
		Workers: &dashboard.WorkersPage{}, System: &wire.System{},
	}
	for i := range 200 {
		q := dashboard.Queue{
			Name: fmt.Sprintf("queue-%d", i), Oldest: now.Add(-time.Hour).UnixMilli(),
			Counts: queues.Counts{events.StateCompleted: 4900, events.StateWaiting: 50, events.StateFailed: 50},
		}
		for m := range queues.Window {
			q.Recent = append(q.Recent, queues.Minute{Requested: int64(i + m), Completed: int64(m), Failed: 1})
		}
		for state, n := range q.Counts {
			o.Totals[state] += n
		}
		o.Queues = append(o.Queues, q)
	}
	return o
}

// BenchmarkOverview renders the overview at a million tasks: whatever their number, it shows queues.
func BenchmarkOverview(b *testing.B) {
	p, err := dashboard.New()
	if err != nil {
		b.Fatal(err)
	}
	page := million()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Render(io.Discard, page); err != nil {
			b.Fatal(err)
		}
	}
}
