package whatif_test

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/whatif"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zero is when every log of these tests begins, ms.
const zero = 1_764_000_000_000

// A job is a task that a log tells of: what a client wanted, and how it went. Times are ms since zero.
type job struct {
	queue    string // empty: q
	priority int
	at       int64   // requested
	delay    int64   // and then delayed
	runs     []int64 // its attempts
	retry    int64   // all of which but the last fail, and are followed by another one so much later
}

// written is a log in the making.
type written struct {
	list []events.Event
	n    int
}

// add adds an event at some ms.
func (w *written) add(at int64, task string, d events.Data) {
	w.list = append(w.list, events.Event{ID: events.ID{Ms: zero + at, Seq: uint64(len(w.list))}, Task: task, Data: d})
}

// job adds what happens to a job where there is a free worker for everything.
func (w *written) job(j job) {
	w.n++
	id, label := fmt.Sprintf("t%d", w.n), events.Label{Queue: cmp.Or(j.queue, "q"), Name: "work"}
	at := j.at + j.delay
	w.add(j.at, id, events.TaskRequested{
		Label: label, Definition: events.Definition{Priority: j.priority, MaxAttempts: len(j.runs)}, DueAt: zero + at, DelayMs: j.delay,
	})
	for i, run := range j.runs {
		hand := fmt.Sprintf("w%d", w.n)
		w.add(at, id, events.TaskDue{Label: label, Attempt: i + 1, Priority: j.priority, DueAt: zero + at})
		w.add(at, id, events.TaskStarted{Label: label, Attempt: i + 1, Worker: hand})
		at += run
		if i+1 == len(j.runs) {
			w.add(at, id, events.TaskCompleted{Label: label, Attempt: i + 1, Worker: hand, RunMs: run})
			return
		}
		w.add(at, id, events.TaskFailed{Label: label, Attempt: i + 1, Worker: hand, RunMs: run, RetryAt: zero + at + j.retry})
		at += j.retry
	}
}

// past returns what the log tells of a window, in ms since zero; to 0 means to its end.
func (w *written) past(from, to int64) *whatif.Past {
	slices.SortStableFunc(w.list, func(a, b events.Event) int { return a.ID.Compare(b.ID) })
	first, last := events.ID{}, events.MaxID
	if from > 0 {
		first = events.ID{Ms: zero + from, Seq: math.MaxUint64}
	}
	if to > 0 {
		last = events.ID{Ms: zero + to, Seq: math.MaxUint64}
	}
	r := whatif.Record(first, last)
	for _, e := range w.list {
		r.Apply(e)
	}
	return whatif.Join(r)
}

func log(jobs ...job) *written {
	w := &written{}
	for _, j := range jobs {
		w.job(j)
	}
	return w
}

// ideal is a setup in which nothing but running takes time.
func ideal(workers, slots int) whatif.Setup {
	return whatif.Setup{Workers: whatif.Workers(workers, slots), Policy: whatif.ByPriority, Speed: 1}
}

// starts returns when the attempts start, in ms, in the order of their tasks; -1: never.
func starts(list []whatif.Attempt) []int64 {
	out := make([]int64, len(list))
	for i, a := range list {
		out[i] = a.Start.Milliseconds()
		if a.Start == whatif.Never {
			out[i] = -1
		}
	}
	return out
}

func same(t *testing.T, list []whatif.Attempt, want ...int64) {
	t.Helper()
	if got := starts(list); !slices.Equal(got, want) {
		t.Errorf("they start at %v ms, want %v", got, want)
	}
}

func TestOneSlotRunsOneAfterTheOther(t *testing.T) {
	w := log(job{at: 0, runs: []int64{100}}, job{at: 10, runs: []int64{50}}, job{at: 20, runs: []int64{50}}, job{at: 300, runs: []int64{1}})
	same(t, w.past(0, 0).Simulate(ideal(1, 1)), 0, 100, 150, 300)
	same(t, w.past(0, 0).Simulate(ideal(1, 2)), 0, 10, 60, 300)
	same(t, w.past(0, 0).Simulate(ideal(3, 1)), 0, 10, 20, 300)

	twice := ideal(1, 1)
	twice.Speed = 2
	same(t, w.past(0, 0).Simulate(twice), 0, 50, 75, 300)
	slow := ideal(1, 1)
	slow.Dispatch, slow.Pickup = 3*time.Millisecond, 2*time.Millisecond
	same(t, w.past(0, 0).Simulate(slow), 5, 107, 159, 305) // the second one is due long before the slot is free
}

func TestAnUrgentTaskOvertakesUnlessWhoComesFirstIsServedFirst(t *testing.T) {
	w := log(
		job{at: 0, runs: []int64{100}},
		job{at: 1, priority: 5, runs: []int64{10}}, // due already when the urgent one comes: one lies ready for each slot
		job{at: 2, priority: 5, runs: []int64{10}},
		job{at: 3, priority: 1, runs: []int64{10}},
		job{at: 4, delay: 1, runs: []int64{10}},
		job{at: 4, priority: 5, runs: []int64{10}},
	)
	past := w.past(0, 0)
	same(t, past.Simulate(ideal(1, 1)), 0, 100, 130, 120, 110, 140)
	fifo := ideal(1, 1)
	fifo.Policy = whatif.FIFO
	same(t, past.Simulate(fifo), 0, 100, 110, 120, 140, 130)
}

func TestAFailedAttemptComesBackAfterTheDelayThatItHad(t *testing.T) {
	w := log(job{at: 0, runs: []int64{100, 20}, retry: 200}, job{at: 0, runs: []int64{500}})
	past := w.past(0, 0)
	same(t, past.Simulate(ideal(2, 1)), 0, 300, 0)
	same(t, past.Simulate(ideal(1, 1)), 0, 600, 100)
	twice := ideal(2, 1)
	twice.Speed = 2
	same(t, past.Simulate(twice), 0, 250, 0) // the delay is no run time
}

func TestWhatAPersonAsksForComesWhenItDid(t *testing.T) {
	w := log(job{at: 0, runs: []int64{100}}, job{at: 1, queue: "p", runs: []int64{10}}, job{at: 150, queue: "p", runs: []int64{10}})
	w.add(120, "", events.QueuePaused{Label: events.Label{Queue: "p"}})
	w.add(400, "", events.QueueResumed{Label: events.Label{Queue: "p"}})
	same(t, w.past(0, 0).Simulate(ideal(1, 1)), 0, 100, 400)

	// A task is cancelled before it runs, or is not, if there is a slot earlier; a requested retry comes at its time.
	w = log(job{at: 0, runs: []int64{100}})
	label := events.Label{Queue: "q", Name: "work"}
	w.add(10, "c", events.TaskRequested{Label: label, Definition: events.Definition{MaxAttempts: 1}, DueAt: zero + 10})
	w.add(50, "c", events.TaskCancelled{Label: label, From: events.StateWaiting})
	w.add(300, "c", events.TaskRetryRequested{Label: label, From: events.StateCancelled})
	w.add(310, "c", events.TaskDue{Label: label, Attempt: 1, DueAt: zero + 300, From: events.StateWaiting})
	w.add(310, "c", events.TaskStarted{Label: label, Attempt: 1, Worker: "w"})
	w.add(340, "c", events.TaskCompleted{Label: label, Attempt: 1, Worker: "w"})
	past := w.past(0, 0)
	same(t, past.Simulate(ideal(1, 1)), 0, -1, 300)
	list := past.Simulate(ideal(2, 1))
	same(t, list, 0, 10, 300)
	if list[1].Counts || list[1].End != 50*time.Millisecond {
		t.Errorf("the cancelled attempt is %+v: it did not really run, and it ends when it was cancelled", list[1])
	}
	if f := whatif.Sum(list, whatif.Workers(2, 1)); len(f.Waits) != 2 || f.Unstarted != 0 {
		t.Errorf("%+v: the waits of two are to be compared", f)
	}
}

func TestAWindowBeginsWithWhatWasUnderWay(t *testing.T) {
	w := log(
		job{at: 0, runs: []int64{50}},                          // over before
		job{at: 10, runs: []int64{200}},                        // runs
		job{at: 20, delay: 130, runs: []int64{10}},             // delayed, until it is in the window
		job{at: 30, runs: []int64{5, 40}, retry: 300},          // failed, and tried again in the window
		job{at: 250, runs: []int64{10}},                        // in it
		job{at: 900, runs: []int64{10}},                        // after it
		job{at: 40, runs: []int64{1, 1, 1, 400}, retry: 2},     // has attempts before, of which nothing is left
		job{at: 60, runs: []int64{1}, priority: 3, delay: 900}, // would come after it
	)
	label := events.Label{Queue: "q", Name: "work"}
	w.add(80, "late", events.TaskRequested{Label: label, Definition: events.Definition{MaxAttempts: 1}, DueAt: zero + 80})
	w.add(600, "late", events.TaskDue{Label: label, Attempt: 1, DueAt: zero + 80, From: events.StateWaiting})
	w.add(610, "late", events.TaskStarted{Label: label, Attempt: 1, Worker: "w"})
	w.add(630, "late", events.TaskCompleted{Label: label, Attempt: 1, Worker: "w"})
	past := w.past(100, 500)
	if past.Begin() != zero+100 {
		t.Errorf("it begins at %d", past.Begin())
	}
	var real []string
	for _, a := range past.Attempts() {
		real = append(real, fmt.Sprintf("%s %d %d %v", a.Task, a.Runnable.Milliseconds(), a.Start.Milliseconds(), a.Counts))
	}
	want := []string{"t2 -90 -90 false", "t3 50 50 true", "t4 235 235 true", "t7 -51 -51 false", "late -20 510 true", "t5 150 150 true"}
	if !slices.Equal(real, want) {
		t.Errorf("the window has\n%q, want\n%q", real, want)
	}
	// Two slots are held, until 110 and 349 of the window; "late" waits since before it.
	same(t, past.Simulate(ideal(1, 2)), -90, 130, 235, -51, 110, 150)
	// With one slot t7 has to go on later, and then they come in the order of the log.
	same(t, past.Simulate(ideal(1, 1)), -90, 459, 469, 110, 509, 529)
}

func TestWorkersAreTakenForWhatTheLogShowsOfThem(t *testing.T) {
	w := &written{}
	run := func(at, took int64, hand, queue string) {
		w.n++
		id, label := fmt.Sprintf("t%d", w.n), events.Label{Queue: queue, Name: "work"}
		w.add(at, id, events.TaskRequested{Label: label, Definition: events.Definition{MaxAttempts: 1}, DueAt: zero + at})
		w.add(at+1, id, events.TaskDue{Label: label, Attempt: 1, DueAt: zero + at, From: events.StateWaiting})
		w.add(at+3, id, events.TaskStarted{Label: label, Attempt: 1, Worker: hand})
		w.add(at+took, id, events.TaskCompleted{Label: label, Attempt: 1, Worker: hand})
	}
	for n := range int64(50) {
		at := 100 * n
		run(at, 150, "all", []string{"mail", "images"}[n%2]) // two at once
		run(at+7, 50, "mail only", "mail")
		if n >= 20 && n < 35 {
			run(at+9, 20, "for a while", []string{"images", "mail"}[n%2])
		}
	}
	past := w.past(0, 0)
	want := []whatif.Worker{
		{ID: "all", Slots: 2, Until: whatif.Never},
		{ID: "for a while", Slots: 1, From: 2012 * time.Millisecond, Until: 3429 * time.Millisecond},
		{ID: "mail only", Slots: 1, Queues: []string{"mail"}, Until: whatif.Never},
	}
	if !reflect.DeepEqual(past.Workers, want) {
		t.Errorf("the workers are taken for\n%+v, want\n%+v", past.Workers, want)
	}
}

// TestASimulationThatIsWrittenDownShowsHowItWasSetUp makes a log of what was simulated, and estimates the setup from it.
func TestASimulationThatIsWrittenDownShowsHowItWasSetUp(t *testing.T) {
	wanted := &written{}
	for n := range int64(400) {
		queue := []string{"mail", "images", "reports"}[n%7%3]
		wanted.job(job{at: n * 5, queue: queue, priority: int(n % 3), runs: []int64{20 + n*13%40}})
	}
	setup := wanted.past(0, 0).Setup()
	setup.Workers = []whatif.Worker{{ID: "a", Slots: 3, Until: whatif.Never}, {ID: "b", Slots: 4, Until: whatif.Never}}
	setup.Dispatch, setup.Pickup = 2*time.Millisecond, 7*time.Millisecond

	w := &written{}
	for _, a := range wanted.past(0, 0).Simulate(setup) {
		label := events.Label{Queue: a.Queue, Name: "work"}
		at := func(d time.Duration) int64 { return d.Milliseconds() }
		w.add(at(a.Runnable), a.Task, events.TaskRequested{Label: label, DueAt: zero + at(a.Runnable)})
		w.add(at(a.Due), a.Task, events.TaskDue{Label: label, Attempt: 1, DueAt: zero + at(a.Runnable)})
		w.add(at(a.Start), a.Task, events.TaskStarted{Label: label, Attempt: 1, Worker: a.Worker})
		w.add(at(a.End), a.Task, events.TaskCompleted{Label: label, Attempt: 1, Worker: a.Worker})
	}
	got := w.past(0, 0).Setup()
	if !reflect.DeepEqual(got.Workers, setup.Workers) {
		t.Errorf("the workers are taken for %+v", got.Workers)
	}
	if d := (got.Dispatch - setup.Dispatch).Abs(); d > time.Millisecond {
		t.Errorf("dispatch is taken for %s, and was %s", got.Dispatch, setup.Dispatch)
	}
	if d := (got.Pickup - setup.Pickup).Abs(); d > time.Millisecond {
		t.Errorf("pickup is taken for %s, and was %s", got.Pickup, setup.Pickup)
	}
}

func TestAWorkerThatServesAQueueTakesNothingElse(t *testing.T) {
	w := log(job{at: 0, queue: "a", runs: []int64{100}}, job{at: 0, queue: "b", runs: []int64{100}}, job{at: 0, queue: "b", runs: []int64{100}})
	setup := ideal(0, 0)
	setup.Workers = []whatif.Worker{
		{Slots: 1, Queues: []string{"a"}, Until: whatif.Never},
		{Slots: 1, Queues: []string{"b"}, From: 30 * time.Millisecond, Until: 60 * time.Millisecond},
	}
	list := w.past(0, 0).Simulate(setup)
	same(t, list, 0, 30, -1) // who goes finishes what it runs, and takes no more
	if f := whatif.Sum(list, setup.Workers); f.Unstarted != 1 {
		t.Errorf("%d did not start", f.Unstarted)
	}
}

func TestAWorkerWithFewSlotsTakesFromQueuesInTurn(t *testing.T) {
	w := log(
		job{at: 0, queue: "a", runs: []int64{10}}, job{at: 0, queue: "a", runs: []int64{10}}, job{at: 0, queue: "a", runs: []int64{10}},
		job{at: 5, queue: "b", runs: []int64{10}},
	)
	same(t, w.past(0, 0).Simulate(ideal(1, 1)), 0, 10, 30, 20) // "b" does not wait until "a" is empty
}

// TestAWorkerSharesItsSlotsAmongPartitions: each has a scheduler and a log of its own.
func TestAWorkerSharesItsSlotsAmongPartitions(t *testing.T) {
	var recordings []*whatif.Recording
	for n := range int64(2) {
		r := whatif.Record(events.ID{}, events.MaxID)
		for _, e := range log(job{at: n, runs: []int64{100}}, job{at: 10 + n, runs: []int64{100}}).list {
			r.Apply(e)
		}
		recordings = append(recordings, r)
	}
	past := whatif.Join(recordings...)
	// One slot for both: each has one task ready, whose turn it is in the order in which they were taken.
	same(t, past.Simulate(ideal(1, 1)), 0, 200, 100, 300)
	same(t, past.Simulate(ideal(1, 2)), 0, 100, 1, 101)
	// Three slots are two for each partition, and three in all.
	same(t, past.Simulate(ideal(1, 3)), 0, 10, 1, 100)
}

func TestFiguresAreWhatCanBeCountedByHand(t *testing.T) {
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	list := []whatif.Attempt{
		{Runnable: ms(-20), Start: ms(-10), End: ms(100)},
		{Runnable: ms(0), Start: ms(100), End: ms(200), Counts: true},
		{Runnable: ms(50), Start: ms(200), End: ms(400), Counts: true},
		{Runnable: ms(100), Start: whatif.Never, End: ms(300)}, // cancelled
		{Runnable: ms(350), Start: whatif.Never, End: whatif.Never, Counts: true},
		{Runnable: ms(390), Start: whatif.Never, End: ms(10)}, // cancelled before it could run
		{Runnable: whatif.Never, Start: whatif.Never, End: ms(10)},
	}
	f := whatif.Sum(list, whatif.Workers(2, 1))
	want := whatif.Figures{
		Waits: []time.Duration{ms(100), ms(150)}, Unstarted: 1, Span: ms(400), LastEnd: ms(400), Ended: 3,
		Throughput: 7.5, Busy: 1, Utilization: 0.5, MeanBacklog: (100 + 150 + 200 + 50) / 400.0, MaxBacklog: 2,
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v, want\n%+v", f, want)
	}
	if f.Wait(0.5) != ms(150) || f.Wait(0) != ms(100) || f.Wait(1) != ms(150) || (whatif.Figures{}).Wait(0.5) != 0 {
		t.Error("the quantiles are wrong")
	}
	if got := whatif.Backlog(list, 0, ms(400), 4); !slices.Equal(got, []float64{1.5, 2, 1, 0.5}) {
		t.Errorf("the backlog is %v", got)
	}
}
