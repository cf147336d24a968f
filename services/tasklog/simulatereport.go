package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tasklog/tasklog/projections/whatif"
	"github.com/tasklog/tasklog/services/api/wire"
)

// backlogRows is how many moments of the backlog are told.
const backlogRows = 20

// simulation is what simulate prints for programs.
type simulation struct {
	From      string           `json:"from"`            // what follows lies between the first moment at which something could run
	To        string           `json:"to"`              // and the end of the last attempt, of either run
	Queue     string           `json:"queue,omitempty"` // the only one that is shown
	Real      simulatedRun     `json:"real"`
	Simulated simulatedRun     `json:"simulated"`
	Queues    []simulatedQueue `json:"queues"`
	Backlog   []simulatedSlice `json:"backlog"`
}

// simulatedRun is what was, or would have been.
type simulatedRun struct {
	Workers    []simulatedWorker `json:"workers"`
	Policy     whatif.Policy     `json:"policy"`
	Speed      float64           `json:"speed"`
	DispatchMs float64           `json:"dispatchMs"` // until the scheduler made due what could run
	PickupMs   float64           `json:"pickupMs"`   // until a worker with a free slot started what was due
	simulatedWaits
	Throughput  float64 `json:"throughput"`  // attempts that ended, per second
	Utilization float64 `json:"utilization"` // of the slots of all workers, by all queues: 0 … 1
	MeanBacklog float64 `json:"meanBacklog"` // attempts that could run and did not
	MaxBacklog  int     `json:"maxBacklog"`
	LastEnd     string  `json:"lastEnd,omitempty"`
}

// simulatedWorker is a worker of a run.
type simulatedWorker struct {
	Worker string   `json:"worker,omitempty"` // its id; none where it is made up
	Slots  int      `json:"slots"`
	Queues []string `json:"queues,omitempty"` // none: all
	From   string   `json:"from,omitempty"`   // none: it was there from the beginning
	Until  string   `json:"until,omitempty"`  // none: it stayed
}

// simulatedWaits tells how long attempts waited.
type simulatedWaits struct {
	Attempts  int    `json:"attempts"`  // that started, of those that really did
	Unstarted int    `json:"unstarted"` // that really started, and here did not
	WaitMs    waitMs `json:"waitMs"`
}

// waitMs has percentiles, in ms.
type waitMs struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// simulatedQueue holds the waits of a queue side by side.
type simulatedQueue struct {
	Queue     string         `json:"queue"`
	Real      simulatedWaits `json:"real"`
	Simulated simulatedWaits `json:"simulated"`
}

// simulatedSlice is the mean backlog of a slice of the time, that begins at At.
type simulatedSlice struct {
	At        string  `json:"at"`
	Real      float64 `json:"real"`
	Simulated float64 `json:"simulated"`
}

// inMs returns a duration in ms, to the microsecond.
func inMs(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func waitsOf(f whatif.Figures) simulatedWaits {
	return simulatedWaits{
		Attempts: len(f.Waits), Unstarted: f.Unstarted,
		WaitMs: waitMs{inMs(f.Wait(0.5)), inMs(f.Wait(0.9)), inMs(f.Wait(0.95)), inMs(f.Wait(0.99)), inMs(f.Wait(1))},
	}
}

// stamp returns when something was that is told as since the beginning of the window.
func (c *comparison) stamp(d time.Duration) string {
	return wire.Stamp(c.past.Begin() + d.Milliseconds())
}

func (c *comparison) run(s side) simulatedRun {
	f := s.figures
	r := simulatedRun{
		Policy: s.setup.Policy, Speed: s.setup.Speed, DispatchMs: inMs(s.setup.Dispatch), PickupMs: inMs(s.setup.Pickup),
		simulatedWaits: waitsOf(f), Throughput: f.Throughput, Utilization: f.Utilization, MeanBacklog: f.MeanBacklog, MaxBacklog: f.MaxBacklog,
		Workers: []simulatedWorker{},
	}
	if f.Ended > 0 {
		r.LastEnd = c.stamp(f.LastEnd)
	}
	for _, w := range s.setup.Workers {
		out := simulatedWorker{Worker: w.ID, Slots: w.Slots, Queues: w.Queues}
		if w.From > 0 {
			out.From = c.stamp(w.From)
		}
		if w.Until != whatif.Never {
			out.Until = c.stamp(w.Until)
		}
		r.Workers = append(r.Workers, out)
	}
	return r
}

func (c *comparison) report() simulation {
	out := simulation{
		From: c.stamp(c.begin), To: c.stamp(c.end), Queue: c.only, Real: c.run(c.was), Simulated: c.run(c.is), Backlog: []simulatedSlice{},
	}
	for _, queue := range c.queues {
		out.Queues = append(out.Queues, simulatedQueue{
			queue, waitsOf(whatif.Sum(c.was.byQueue[queue], c.was.setup.Workers)), waitsOf(whatif.Sum(c.is.byQueue[queue], c.is.setup.Workers)),
		})
	}
	was, is := c.backlogs(backlogRows)
	for i := range was {
		at := c.begin + time.Duration(i)*(c.end-c.begin)/backlogRows
		out.Backlog = append(out.Backlog, simulatedSlice{c.stamp(at), was[i], is[i]})
	}
	return out
}

// backlogs returns the backlogs of both runs, in n slices of the whole time.
func (c *comparison) backlogs(n int) (was, is []float64) {
	return whatif.Backlog(c.was.attempts, c.begin, c.end, n), whatif.Backlog(c.is.attempts, c.begin, c.end, n)
}

// say tells it to people.
func (c *comparison) say(w io.Writer) {
	r := c.report()
	say(w, "from %s to %s\n", r.From, r.To)
	say(w, "real       %s, %s", workersOf(c.was.setup.Workers), c.was.setup.Policy)
	say(w, "simulated  %s, %s, handlers at %gx", workersOf(c.is.setup.Workers), c.is.setup.Policy, c.is.setup.Speed)
	say(w, "a task is due after %s and starts after %s where nothing stands before it\n",
		c.is.setup.Dispatch.Round(10*time.Microsecond), c.is.setup.Pickup.Round(10*time.Microsecond))

	t := newTable("wait", "", "attempts", "p50", "p90", "p95", "p99", "max")
	row := func(name, run string, s simulatedWaits) {
		cells := []any{clean(name), run, s.Attempts}
		for _, ms := range []float64{s.WaitMs.P50, s.WaitMs.P90, s.WaitMs.P95, s.WaitMs.P99, s.WaitMs.Max} {
			cells = append(cells, time.Duration(ms*float64(time.Millisecond)).Round(time.Millisecond))
		}
		t.AppendRow(cells)
	}
	for _, q := range r.Queues {
		row(q.Queue, "real", q.Real)
		row("", "simulated", q.Simulated)
	}
	if len(r.Queues) > 1 {
		row("all queues", "real", r.Real.simulatedWaits)
		row("", "simulated", r.Simulated.simulatedWaits)
	}
	say(w, "%s\n", t.Render())
	if n := r.Simulated.Unstarted; n > 0 {
		say(w, "%s\n", many(n, "attempt that really started would not have: nobody takes it", "attempts that really started would not have: nobody takes them"))
	}

	t = newTable("", "real", "simulated")
	t.AppendRow([]any{"attempts per second", fmt.Sprintf("%.1f", r.Real.Throughput), fmt.Sprintf("%.1f", r.Simulated.Throughput)})
	t.AppendRow([]any{"slots in use", fmt.Sprintf("%.0f %%", 100*r.Real.Utilization), fmt.Sprintf("%.0f %%", 100*r.Simulated.Utilization)})
	t.AppendRow([]any{"backlog, mean", fmt.Sprintf("%.1f", r.Real.MeanBacklog), fmt.Sprintf("%.1f", r.Simulated.MeanBacklog)})
	t.AppendRow([]any{"backlog, longest", r.Real.MaxBacklog, r.Simulated.MaxBacklog})
	t.AppendRow([]any{"the last one ended", r.Real.LastEnd, r.Simulated.LastEnd})
	say(w, "%s\n", t.Render())

	longest := 1.0
	for _, s := range r.Backlog {
		longest = max(longest, s.Real, s.Simulated)
	}
	bar := func(n float64) string {
		return fmt.Sprintf("%8.1f  %-20s", n, strings.Repeat("#", int(20*n/longest+0.5)))
	}
	t = newTable("backlog from", "real", "simulated")
	for _, s := range r.Backlog {
		t.AppendRow([]any{s.At, bar(s.Real), bar(s.Simulated)})
	}
	say(w, "%s", t.Render())
}

// workersOf says who works, in few words.
func workersOf(list []whatif.Worker) string {
	slots, alike, parted := 0, true, 0
	for _, w := range list {
		slots += w.Slots
		alike = alike && w.Slots == list[0].Slots
		if w.From > 0 || w.Until != whatif.Never || w.Queues != nil {
			parted++
		}
	}
	text := fmt.Sprintf("%s with %s in all", many(len(list), "worker", "workers"), many(slots, "slot", "slots"))
	if len(list) > 1 && alike {
		text = fmt.Sprintf("%s with %s each", many(len(list), "worker", "workers"), many(list[0].Slots, "slot", "slots"))
	}
	if parted > 0 {
		text += fmt.Sprintf(" (%d not for all queues, or not all the time)", parted)
	}
	return text
}
