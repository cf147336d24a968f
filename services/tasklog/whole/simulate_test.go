package whole_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/whatif"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
)

// A workload is what clients ask for and operators do.
type workload struct {
	ask func(h *house, dice *rand.Rand) (tasks int)
	ms  [2]int // an attempt takes so long: from, and less than
}

// warm is the number of the first task that warms up.
const warm = 1000

// want requests a task of a queue.
func (h *house) want(n int, queue string, priority int, delay time.Duration, name string) {
	h.Helper()
	_, err := h.log.Request(h.Context(), eventlog.Request{
		Task: fmt.Sprintf("t%d", n), Label: events.Label{Queue: queue, Name: name}, Delay: delay,
		Definition: events.Definition{
			Priority: priority, MaxAttempts: 3, RequestID: fmt.Sprintf("r%d", n), Payload: json.RawMessage(fmt.Sprint(n)),
			Backoff: events.Backoff{Type: events.BackoffFixed, DelayMs: 300},
		},
	})
	if err != nil {
		h.Fatal(err)
	}
}

var workloads = map[string]workload{
	// All at once, urgent ones among them, on several queues of different length.
	"a burst": {ms: [2]int{10, 60}, ask: func(h *house, dice *rand.Rand) int {
		for n := range 300 {
			h.want(n, []string{"mail", "mail", "mail", "images", "images", "reports"}[n%6], dice.IntN(3), 0, "work")
		}
		return 300
	}},
	// Within half a second, more than the workers can do; every fifth fails at first and comes back.
	"delays and retries": {ms: [2]int{15, 45}, ask: func(h *house, dice *rand.Rand) int {
		for n := range 400 {
			name := "work"
			if n%5 == 0 {
				name = "fail first"
			}
			h.want(n, []string{"mail", "images"}[n%2], n%2, time.Duration(dice.IntN(500))*time.Millisecond, name)
		}
		return 400
	}},
	// A queue is paused while tasks for it come, and another one has all the workers.
	"a pause": {ms: [2]int{20, 30}, ask: func(h *house, _ *rand.Rand) int {
		if _, err := h.log.Pause(h.Context(), "images", "test"); err != nil {
			h.Fatal(err)
		}
		for n := range 240 {
			h.want(n, []string{"mail", "images"}[n%2], 0, 0, "work")
		}
		h.read(events.TypeTaskCompleted, 43)
		if _, err := h.log.Resume(h.Context(), "images", "test"); err != nil {
			h.Fatal(err)
		}
		return 240
	}},
}

// slots are those of each worker.
const slots = 4

// record runs a workload on a Redis of its own and returns what its log tells.
func (w workload) record(t *testing.T, workers int) (past *whatif.Past) {
	t.Helper()
	t.Run(fmt.Sprintf("recording with %d workers", workers), func(t *testing.T) { past = w.run(t, workers) })
	return past
}

func (w workload) run(t *testing.T, workers int) *whatif.Past {
	t.Helper()
	srv := testredis.Start(t)
	h := &house{T: t, redis: srv, log: open(t, srv.URL())}
	quiet := slog.New(slog.DiscardHandler)
	sched, err := scheduler.New(open(t, srv.URL()), scheduler.Config{}, quiet, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.run(sched.Run)
	work := func(ctx context.Context, task worker.Task[json.RawMessage]) (any, error) {
		var n uint64
		if err := json.Unmarshal(task.Payload, &n); err != nil {
			return nil, err
		}
		dice := rand.New(rand.NewPCG(n, uint64(task.Attempt)))
		timer := time.NewTimer(time.Duration(w.ms[0]+dice.IntN(w.ms[1]-w.ms[0])) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		if task.Name == "fail first" && task.Attempt == 1 {
			return nil, errors.New("not yet")
		}
		return nil, nil
	}
	// Each queue is known to the workers from the beginning, as it is wherever one has been used before.
	for n, queue := range []string{"mail", "images", "reports"} {
		h.want(warm+n, queue, 0, 0, "warm up")
	}
	for n := range workers {
		hands, err := worker.New(open(t, srv.URL()), worker.Config{ID: fmt.Sprintf("w%d", n), Concurrency: slots}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		hands.HandleAny(work)
		h.run(hands.Run)
	}
	warmed := h.read(events.TypeTaskCompleted, 3)
	h.read(events.TypeTaskCompleted, 3+w.ask(h, rand.New(rand.NewPCG(1, 2))))
	return h.past(warmed[2].ID, events.MaxID)
}

// past reads what the log tells of a window.
func (h *house) past(from, to events.ID) *whatif.Past {
	h.Helper()
	r := whatif.Record(from, to)
	_, err := projections.Replay(h.Context(), views.Source(h.log, h.log.Partitions()[0]), events.ID{}, events.MaxID, r)
	if err != nil {
		h.Fatal(err)
	}
	return whatif.Join(r)
}

// differ holds the waits that were simulated against those that were, and says where they are further apart than
// some share of them; else it is empty.
func differ(t *testing.T, was, simulated []whatif.Attempt, within float64) (where string) {
	t.Helper()
	f, g := whatif.Sum(was, nil), whatif.Sum(simulated, nil)
	for _, share := range []float64{0.5, 0.95} {
		want, got := f.Wait(share), g.Wait(share)
		off := float64(got-want) / float64(want)
		t.Logf("p%.0f was %s, simulated %s: %+.1f %%", 100*share, want, got, 100*off)
		if want < 200*time.Millisecond {
			where += fmt.Sprintf("a p%.0f of %s proves nothing; ", 100*share, want)
		}
		if math.Abs(off) > within {
			where += fmt.Sprintf("p%.0f was %s and is simulated as %s; ", 100*share, want, got)
		}
	}
	return where
}

// thrice calls f until it says nothing is wrong. On a machine that others keep busy everything may stand still for a
// moment that no log tells of; a simulation that is wrong is so every time.
func thrice(t *testing.T, f func() (wrong string)) {
	t.Helper()
	for try := 1; ; try++ {
		wrong := f()
		if wrong == "" || t.Failed() {
			return
		}
		t.Logf("recording %d: %s", try, wrong)
		if try == 3 {
			t.Error(wrong)
			return
		}
	}
}

// TestTheSimulationReproducesWhatWas: with the workers that there really were, the waits are those that there
// really were; and the log shows which workers these are.
func TestTheSimulationReproducesWhatWas(t *testing.T) {
	for name, load := range workloads {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			thrice(t, func() string {
				past := load.record(t, 2)
				want := []whatif.Worker{{ID: "w0", Slots: slots, Until: whatif.Never}, {ID: "w1", Slots: slots, Until: whatif.Never}}
				if !reflect.DeepEqual(past.Workers, want) {
					return fmt.Sprintf("the workers are taken for %+v, want %+v", past.Workers, want)
				}
				t.Logf("a task is due after %s, and starts after %s", past.Dispatch, past.Pickup)
				return differ(t, past.Attempts(), past.Simulate(past.Setup()), 0.2)
			})
		})
	}
}

// TestWhatIsForetoldComesTrue holds two workers that are simulated from the log of one against two real ones.
func TestWhatIsForetoldComesTrue(t *testing.T) {
	t.Parallel()
	thrice(t, func() string {
		one, two := workloads["a burst"].record(t, 1), workloads["a burst"].record(t, 2)
		setup := one.Setup()
		setup.Workers = whatif.Workers(2, slots)
		return differ(t, two.Attempts(), one.Simulate(setup), 0.25)
	})
}
