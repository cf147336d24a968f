package throughput_test

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/projections/throughput"
)

func TestQuantilesAreWithinSixPercent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 40), rapid.Int64Range(0, 1<<40)), 1, 200).Draw(t, "ms")
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		var h throughput.Histogram
		sum := int64(0)
		for _, v := range values {
			h.Add(v)
			sum += v
		}
		slices.Sort(values)
		want := float64(values[min(int(q*float64(len(values))), len(values)-1)])
		if got := h.Quantile(q); math.Abs(got-want) > want/16 {
			t.Errorf("quantile %g of %v is %g, want %g", q, values, got, want)
		}
		if h.Count() != int64(len(values)) || h.Sum != sum || h.Mean() != float64(sum)/float64(len(values)) {
			t.Errorf("%d values of %d ms in all, want %d of %d", h.Count(), h.Sum, len(values), sum)
		}
	})
}

func TestHistogramsCanBeAddedAndStored(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOf(rapid.Int64Range(-5, 1<<62)).Draw(t, "ms")
		cut := rapid.IntRange(0, len(values)).Draw(t, "cut")
		var all, a, b throughput.Histogram
		for i, v := range values {
			all.Add(v)
			if i < cut {
				a.Add(v)
			} else {
				b.Add(v)
			}
		}
		a.Merge(b)
		want, _ := json.Marshal(all)
		got, _ := json.Marshal(a)
		if string(got) != string(want) {
			t.Errorf("%s, want %s", got, want)
		}
		var back throughput.Histogram
		if err := json.Unmarshal(want, &back); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(back); string(again) != string(want) {
			t.Errorf("%s, want %s", again, want)
		}
	})
}

func TestAnEmptyHistogramSaysZero(t *testing.T) {
	var h throughput.Histogram
	if h.Quantile(0.99) != 0 || h.Mean() != 0 || h.Count() != 0 {
		t.Errorf("%g, %g, %d", h.Quantile(0.99), h.Mean(), h.Count())
	}
}

func TestMinutesAreThoseOfTheLastDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: 400,
			StepMs: rapid.SampledFrom([]int64{1000, 600_000, 7_200_000}).Draw(t, "step"),
		})
		var v throughput.View
		if _, err := projections.Replay(t.Context(), h, events.ID{}, events.MaxID, &v); err != nil {
			t.Fatal(err)
		}
		end := h.Events[len(h.Events)-1].ID.Time().Truncate(time.Minute)
		var requested, completed, failed, retried, waits, runs int64 // of the last day
		for _, e := range h.Events {
			if !e.ID.Time().Truncate(time.Minute).After(end.Add(-throughput.Window)) {
				continue
			}
			switch d := e.Data.(type) {
			case events.TaskRequested:
				requested++
			case events.TaskStarted:
				waits++
			case events.TaskCompleted:
				completed++
				runs++
			case events.TaskFailed:
				runs++
				if d.RetryAt > 0 {
					retried++
				} else {
					failed++
				}
			default:
			}
		}
		got := v.Total(time.Time{}, "")
		if got.Requested != requested || got.Completed != completed || got.Failed != failed || got.Retried != retried ||
			got.Wait.Count() != waits || got.Run.Count() != runs {
			t.Errorf("%+v, want %d requested, %d completed, %d failed, %d retried, %d waits, %d runs",
				got, requested, completed, failed, retried, waits, runs)
		}
		last := time.Time{}
		for _, m := range v.Minutes() {
			if m.At.Before(last) || m.At.After(end) || !m.At.After(end.Add(-throughput.Window)) || m.At.Second() != 0 {
				t.Errorf("minute %s after %s, with the end at %s", m.At, last, end)
			}
			last = m.At
		}
	})
}

func TestTotalChoosesTimeAndQueue(t *testing.T) {
	var a, b, v throughput.View
	for i := range 6 {
		at := time.UnixMilli(0).Add(time.Duration(i) * 30 * time.Second)
		part := []*throughput.View{&a, &b}[i%2]
		part.Apply(events.Event{
			ID: events.ID{Ms: at.UnixMilli()}, Task: "t",
			Data: events.TaskRequested{Label: events.Label{Queue: []string{"x", "y y"}[i%2]}},
		})
	}
	v.Merge(&a)
	v.Merge(&b)
	for _, c := range []struct {
		since time.Duration
		queue string
		want  int64
	}{{0, "", 6}, {0, "x", 3}, {0, "y y", 3}, {time.Minute, "", 4}, {90 * time.Second, "y y", 2}, {3 * time.Minute, "", 0}} {
		if got := v.Total(time.UnixMilli(0).Add(c.since), c.queue).Requested; got != c.want {
			t.Errorf("since %s, queue %q: %d, want %d", c.since, c.queue, got, c.want)
		}
	}
}
