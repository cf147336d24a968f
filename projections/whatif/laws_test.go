package whatif_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/projections/whatif"
)

// TestWaitsAreThoseOfTheTheory holds one server with a steady run time against Lindley's recursion, exactly, and
// against the mean that Pollaczek and Khinchine give for arrivals at random.
func TestWaitsAreThoseOfTheTheory(t *testing.T) {
	const run, load, n = 1000, 0.7, 20_000
	dice := rand.New(rand.NewPCG(7, 11))
	w := &written{}
	var at, free, sum int64
	var want []int64
	for range n {
		at += int64(dice.ExpFloat64() * run / load)
		w.job(job{at: at, runs: []int64{run}})
		begin := max(at, free)
		want, free, sum = append(want, begin-w.list[0].ID.Ms+zero), begin+run, sum+begin-at
	}
	same(t, w.past(0, 0).Simulate(ideal(1, 1)), want...)
	mean, theory := float64(sum)/n, run*load/(2*(1-load))
	if math.Abs(mean/theory-1) > 0.1 {
		t.Errorf("the mean wait is %.0f ms, want about %.0f", mean, theory)
	}
}

// some are any jobs of some queues.
func some(r *rapid.T, queues int) []job {
	return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) job {
		return job{
			queue:    fmt.Sprintf("q%d", rapid.IntRange(1, queues).Draw(r, "queue")),
			priority: rapid.IntRange(0, 3).Draw(r, "priority"),
			at:       rapid.Int64Range(0, 500).Draw(r, "at"),
			delay:    rapid.Int64Range(0, 1).Draw(r, "delayed") * 77,
			runs:     rapid.SliceOfN(rapid.Int64Range(0, 60), 1, 3).Draw(r, "runs"),
			retry:    rapid.Int64Range(1, 100).Draw(r, "retry"),
		}
	}), 1, 60).Draw(r, "jobs")
}

// TestTheLawsOfASimulation holds for any jobs under any setup: nothing starts before it can or runs for another
// time than it does, never more than there are slots run at once, everything starts some time; and, where looking
// takes no time, no slot is free while something waits.
func TestTheLawsOfASimulation(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		past := log(some(r, 3)...).past(rapid.Int64Range(0, 300).Draw(r, "from"), 0)
		workers, slots := rapid.IntRange(1, 3).Draw(r, "workers"), rapid.IntRange(1, 4).Draw(r, "slots")
		setup := ideal(workers, slots)
		setup.Policy = rapid.SampledFrom([]whatif.Policy{whatif.FIFO, whatif.ByPriority}).Draw(r, "policy")
		instant := rapid.Bool().Draw(r, "instant")
		if !instant {
			setup.Dispatch, setup.Pickup = 2*time.Millisecond, time.Millisecond
		}
		list, real := past.Simulate(setup), past.Attempts()
		if again := past.Simulate(setup); !reflect.DeepEqual(list, again) {
			r.Fatal("another run has another result")
		}
		for i, a := range list {
			if a.Start == whatif.Never || a.Start < a.Runnable {
				r.Fatalf("attempt %d can run at %s and starts at %s", i, a.Runnable, a.Start)
			}
			if real[i].Start >= 0 && a.End-a.Start != real[i].End-real[i].Start {
				r.Fatalf("attempt %d runs for %s, and really did for %s", i, a.End-a.Start, real[i].End-real[i].Start)
			}
		}
		for _, moment := range moments(list) {
			running, waiting := 0, 0
			for _, a := range list {
				if a.Start <= moment && moment < a.End {
					running++
				}
				if a.Runnable <= moment && moment < a.Start {
					waiting++
				}
			}
			if running > workers*slots {
				r.Fatalf("at %s %d run in %d slots", moment, running, workers*slots)
			}
			if instant && moment >= 0 && waiting > 0 && running < workers*slots {
				r.Fatalf("at %s %d wait and %d of %d slots are held", moment, waiting, running, workers*slots)
			}
		}
	})
}

// moments are those at which anything changes.
func moments(list []whatif.Attempt) []time.Duration {
	var out []time.Duration
	for _, a := range list {
		out = append(out, a.Runnable, a.Start, a.End)
	}
	return out
}

func TestMoreWorkersNeverMakeThoseWaitLongerWhoAreServedInOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := &written{}
		for _, at := range rapid.SliceOfN(rapid.Int64Range(0, 800), 1, 80).Draw(r, "arrivals") {
			w.job(job{at: at, runs: []int64{40}})
		}
		past := w.past(0, 0)
		last := whatif.Never
		for workers := 1; workers <= 5; workers++ {
			setup := ideal(workers, 1)
			setup.Policy = whatif.FIFO
			var sum time.Duration
			for _, wait := range whatif.Sum(past.Simulate(setup), setup.Workers).Waits {
				sum += wait
			}
			if sum > last {
				r.Fatalf("%d workers make them wait for %s, one less for %s", workers, sum, last)
			}
			last = sum
		}
	})
}

// TestAnyLegalLogCanBeRunAgain: cancellations, pauses, releases, retries, and a window that cuts through them all.
func TestAnyLegalLogCanBeRunAgain(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := simulation.Make(simulation.Config{Seed: rapid.Uint64().Draw(r, "seed"), Events: 600})
		cut := func(name string) events.ID { return h.Events[rapid.IntRange(0, len(h.Events)-1).Draw(r, name)].ID }
		from, to := cut("from"), cut("to")
		if from.Compare(to) > 0 {
			from, to = to, from
		}
		record := whatif.Record(from, to)
		for _, e := range h.Events {
			if record.Complete(e.ID) {
				break
			}
			record.Apply(e)
		}
		past := whatif.Join(record)
		for _, a := range past.Attempts() {
			if a.Start != whatif.Never && (a.Start < a.Runnable || a.End < a.Start) {
				r.Fatalf("what was is %+v", a)
			}
		}
		list := past.Simulate(past.Setup())
		for i, a := range list {
			if a.Start != whatif.Never && (a.Start < a.Runnable || a.End < a.Start) {
				r.Fatalf("attempt %d is %+v", i, a)
			}
		}
		whatif.Sum(list, past.Workers)
		// Nobody is paused for ever, and slots are many: then all that really ran runs.
		if setup := past.Setup(); len(h.Paused) == 0 {
			setup.Workers = whatif.Workers(5, 50)
			if f := whatif.Sum(past.Simulate(setup), setup.Workers); f.Unstarted > 0 {
				r.Fatalf("%d do not start", f.Unstarted)
			}
		}
	})
}
