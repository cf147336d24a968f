package throughput_test

import (
	"encoding/json"
	"fmt"
	"maps"
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

// happened is a kind of event, and how long it took.
type happened struct {
	kind string // "wait", …
	ms   int64
}

// counted is what an event counts as.
func counted(e events.Event) (list []happened) {
	switch d := e.Data.(type) {
	case events.TaskRequested:
		return []happened{{kind: "requested"}}
	case events.TaskDue:
		if d.From != events.StateWaiting {
			return []happened{{"late", e.ID.Ms - d.DueAt}}
		}
	case events.TaskStarted:
		return []happened{{"wait", d.WaitMs}}
	case events.TaskCompleted:
		return []happened{{kind: "completed"}, {"run", d.RunMs}}
	case events.TaskFailed:
		if d.RetryAt > 0 {
			return []happened{{kind: "retried"}, {"run", d.RunMs}}
		}
		return []happened{{kind: "failed"}, {"run", d.RunMs}}
	default:
	}
	return nil
}

func TestASeriesCountsTheEventsOfItsQueueInItsSlots(t *testing.T) {
	windows := []time.Duration{time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour, throughput.MaxWindow}
	rapid.Check(t, func(t *rapid.T) {
		h := simulation.Make(simulation.Config{
			Seed: rapid.Uint64().Draw(t, "seed"), Events: 400,
			StepMs: rapid.SampledFrom([]int64{1000, 60_000, 600_000, 7_200_000}).Draw(t, "step"),
		})
		var v throughput.View
		if _, err := projections.Replay(t.Context(), h, events.ID{}, events.MaxID, &v); err != nil {
			t.Fatal(err)
		}
		queue := rapid.SampledFrom([]string{"", h.Events[0].Data.About().Queue}).Draw(t, "queue")
		window := rapid.SampledFrom(windows).Draw(t, "window")
		later := rapid.SampledFrom([]time.Duration{0, 40 * time.Second, 50 * time.Minute}).Draw(t, "later")
		now := h.Events[len(h.Events)-1].ID.Time().Add(later)
		s := v.Series(queue, window, now)

		if covered := time.Duration(len(s.Slots)) * s.Step; covered < window || len(s.Slots) > 168 {
			t.Errorf("%d slots of %s for %s", len(s.Slots), s.Step, window)
		}
		end := s.Slots[len(s.Slots)-1]
		if now.Before(end.At) || !now.Before(end.At.Add(s.Step)) {
			t.Errorf("%s is not in the last slot, from %s on", now, end.At)
		}
		want := make([]map[happened]int64, len(s.Slots))
		for _, e := range h.Events {
			i := int(e.ID.Time().Truncate(s.Step).Sub(s.Slots[0].At) / s.Step)
			if i < 0 || e.ID.Time().Before(s.Slots[0].At) || queue != "" && queue != e.Data.About().Queue {
				continue
			}
			if want[i] == nil {
				want[i] = map[happened]int64{}
			}
			for _, c := range counted(e) {
				want[i][happened{kind: c.kind}]++
				want[i][happened{kind: "ms " + c.kind}] += max(0, c.ms)
			}
		}
		for i, slot := range s.Slots {
			of := func(kind string) int64 { return want[i][happened{kind: kind}] }
			for what, is := range map[string]int64{
				"requested": slot.Requested, "completed": slot.Completed, "failed": slot.Failed, "retried": slot.Retried,
				"wait": slot.Wait.Count(), "ms wait": slot.Wait.Sum, "run": slot.Run.Count(), "ms run": slot.Run.Sum,
				"late": slot.Late.Count(), "ms late": slot.Late.Sum,
			} {
				if is != of(what) {
					t.Errorf("%s of the slot %s: %d, want %d", what, slot.At, is, of(what))
				}
			}
		}
	})
}

func TestASeriesIsOfTheShortestSlotsThatAreKept(t *testing.T) {
	now := time.UnixMilli(1_764_000_123_456)
	for _, c := range []struct {
		queue  string
		window time.Duration
		step   time.Duration
		slots  int
	}{
		{"", 15 * time.Minute, 10 * time.Second, 90},
		{"q", 15 * time.Minute, time.Minute, 15},
		{"", time.Hour, time.Minute, 60},
		{"q", 6 * time.Hour, 10 * time.Minute, 36},
		{"", 24 * time.Hour, 10 * time.Minute, 144},
		{"q", 25 * time.Hour, time.Hour, 25},
		{"", 7 * 24 * time.Hour, time.Hour, 168},
		{"", 1 << 62, time.Hour, 168},
		{"q", -1, time.Minute, 1},
		{"q", 90 * time.Second, time.Minute, 2},
	} {
		s := new(throughput.View).Series(c.queue, c.window, now)
		if s.Step != c.step || len(s.Slots) != c.slots || len(throughput.Needs(c.queue, c.window, now)) != c.slots {
			t.Errorf("%s of %q: %d slots of %s, want %d of %s", c.window, c.queue, len(s.Slots), s.Step, c.slots, c.step)
		}
	}
}

func TestABusyWeekOfManyQueuesIsBounded(t *testing.T) {
	const queues, step = 5, time.Minute
	var v throughput.View
	ms := int64(1_764_000_000_000)
	for end := ms + 8*24*time.Hour.Milliseconds(); ms < end; ms += step.Milliseconds() {
		for q := range queues {
			v.Apply(events.Event{ID: events.ID{Ms: ms}, Data: events.TaskRequested{Label: events.Label{Queue: fmt.Sprintf("q%d", q)}}})
		}
	}
	changed := maps.Collect(v.Changed())
	if n := v.Len(); len(changed) < n || n > queues*372+462 || n < queues*372 {
		t.Errorf("%d slots, want %d for each queue and 462 at the most for all", n, 372)
	}
}

func TestMergeAddsPartitions(t *testing.T) {
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
		now    time.Duration
		window time.Duration
		queue  string
		want   int64
	}{
		{3 * time.Minute, time.Hour, "", 6},
		{3 * time.Minute, time.Hour, "x", 3},
		{3 * time.Minute, time.Hour, "y y", 3},
		{3 * time.Minute, 3 * time.Minute, "", 5},
		{2 * time.Minute, 2 * time.Minute, "x", 2},
		{3 * time.Minute, time.Minute, "y y", 0},
	} {
		if got := v.Series(c.queue, c.window, time.UnixMilli(0).Add(c.now)).Total().Requested; got != c.want {
			t.Errorf("%s before %s, queue %q: %d, want %d", c.window, c.now, c.queue, got, c.want)
		}
	}
}
