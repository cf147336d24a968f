package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/whatif"
)

const simulateHelp = `Show what would have happened with other workers, another order or faster handlers, beside what did.

Arrivals, priorities, delays, retries, pauses and run times are those of the log between two instants; the
scheduler and the workers are simulated, event by event. Run it without --workers and the others first: then it
simulates what was, and the difference shows how far it can be trusted.

` + instantHelp + `

What the log does not say is estimated from it. A worker is whoever started an attempt, and has as many slots
as it ever had attempts running at once: where a worker was never full, name --concurrency. It was there all
the time and serves all queues, unless at least 5 attempts, by its share of all, passed it by. The scheduler
takes as long as with tasks before which nothing stood; workers take as long as makes the mean wait the real one.

Not simulated: handlers that run slower when more of them run, a Redis or a network under load, locks, leases. An
attempt that was abandoned holds its slot for as long as it really did. Whether an attempt fails stays as it
was. What was under way at the end is followed to its end, but nothing arrives after that. Waits are compared of
those attempts that really started.`

// The bounds of the flags: what is beyond them is a slip of the hand.
const (
	maxSimulated = 1000 // workers, and slots of each
	minSpeed     = 0.01
	maxSpeed     = 1000
)

// simulateOptions are the flags of simulate.
type simulateOptions struct {
	from, to             string
	workers, concurrency count // 0: as it was
	policy               string
	speed                speed
	queue, plot          string
}

// speed is a flag such as 2x.
type speed float64

// String implements pflag.Value.
func (s *speed) String() string { return strconv.FormatFloat(float64(*s), 'g', -1, 64) + "x" }

// Type implements pflag.Value.
func (*speed) Type() string { return "factor" }

// Set implements pflag.Value.
func (s *speed) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(v >= minSpeed && v <= maxSpeed) {
		return fmt.Errorf("want a factor from %gx to %gx, such as 2x", minSpeed, float64(maxSpeed))
	}
	*s = speed(v)
	return nil
}

// count is a flag that is at least 1 where it is given.
type count int

// String implements pflag.Value.
func (c *count) String() string { return strconv.Itoa(int(*c)) }

// Type implements pflag.Value.
func (*count) Type() string { return "int" }

// Set implements pflag.Value.
func (c *count) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 || v > maxSimulated {
		return fmt.Errorf("want a number from 1 to %d", maxSimulated)
	}
	*c = count(v)
	return nil
}

func (p *program) simulateCmd() *cobra.Command {
	o := simulateOptions{speed: 1}
	cmd := p.withJSON(&cobra.Command{
		Use: "simulate", Short: "Show what would have been with other workers", Long: simulateHelp, Args: wants(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.simulate(cmd.Context(), o) },
	})
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", "", "instant at which it begins (default the beginning of the log)")
	flags.StringVar(&o.to, "to", "now", "instant at which it ends")
	flags.Var(&o.workers, "workers", "how many workers there are, all of which serve all queues (default as it was)")
	flags.Var(&o.concurrency, "concurrency", "how many tasks each worker runs at once (default as it was)")
	flags.StringVar(&o.policy, "policy", string(whatif.ByPriority), "priority or fifo: what could run first, whatever its priority")
	flags.Var(&o.speed, "speed", "how fast handlers run: at 2x they take half the time")
	flags.StringVar(&o.queue, "queue", "", "show only this queue; the others are simulated all the same")
	flags.StringVar(&o.plot, "plot", "", "also draw the backlog and the waits, to this SVG file")
	return cmd
}

func (p *program) simulate(ctx context.Context, o simulateOptions) error {
	switch policy := whatif.Policy(o.policy); {
	case policy != whatif.ByPriority && policy != whatif.FIFO:
		return &usageError{fmt.Errorf("--policy %q: want priority or fifo", o.policy)}
	case o.plot != "" && !strings.HasSuffix(o.plot, ".svg"):
		return &usageError{fmt.Errorf("--plot %q: want the name of an .svg file", o.plot)}
	}
	log, shut, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer shut()
	past, err := p.past(ctx, log, o)
	if err != nil {
		return err
	}
	setup, err := o.setup(past)
	if err != nil {
		return err
	}
	c, err := compare(past, setup, o.queue)
	if err != nil {
		return err
	}
	if o.plot != "" {
		if err := c.plot(o.plot); err != nil {
			return &usageError{fmt.Errorf("--plot: %w", err)}
		}
	}
	return p.print(c.report(), c.say)
}

// past reads what was recorded between the instants of the flags.
func (p *program) past(ctx context.Context, log *eventlog.Log, o simulateOptions) (*whatif.Past, error) {
	var from events.ID
	if o.from != "" {
		id, err := instant(ctx, log, o.from)
		if err != nil {
			return nil, fmt.Errorf("--from: %w", err)
		}
		from = id
	}
	to, err := instant(ctx, log, o.to)
	if err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	if from.Compare(to) >= 0 {
		return nil, &usageError{fmt.Errorf("--from %s does not lie before --to %s", o.from, o.to)}
	}
	var recordings []*whatif.Recording
	for _, part := range log.Partitions() {
		if err := p.covers(ctx, log, part, to); err != nil {
			return nil, err
		}
		r, skipped := whatif.Record(from, to), 0
		for e, err := range views.Source(log, part).After(ctx, events.ID{}) {
			if err != nil && !errors.Is(err, events.ErrUndecodable) {
				return nil, err
			}
			if r.Complete(e.ID) {
				break
			}
			if err != nil {
				skipped++
				continue
			}
			r.Apply(e)
		}
		if skipped > 0 {
			p.warn(fmt.Errorf("partition %d: %s skipped", part.N, many(skipped, "entry is no event and was", "entries are no events and were")))
		}
		recordings = append(recordings, r)
	}
	past := whatif.Join(recordings...)
	if len(past.Attempts()) == 0 {
		return nil, fmt.Errorf("no task could run between --from %s and --to %s: choose other instants", cmp.Or(o.from, "the beginning of the log"), o.to)
	}
	return past, nil
}

// setup returns what is simulated: how it really was, but for what the flags say.
func (o simulateOptions) setup(past *whatif.Past) (whatif.Setup, error) {
	s := past.Setup()
	s.Policy, s.Speed = whatif.Policy(o.policy), float64(o.speed)
	slots := int(o.concurrency)
	if slots == 0 {
		for _, w := range past.Workers {
			slots = max(slots, w.Slots)
		}
	}
	switch {
	case len(past.Workers) == 0 && (o.workers == 0 || o.concurrency == 0):
		return s, errors.New("nothing started in that time, so the log does not show who works: give --workers and --concurrency")
	case o.workers > 0:
		s.Workers = whatif.Workers(int(o.workers), slots)
	case o.concurrency > 0:
		s.Workers = slices.Clone(s.Workers)
		for i := range s.Workers {
			s.Workers[i].Slots = slots
		}
	}
	return s, nil
}

// comparison is what was and what would have been.
type comparison struct {
	past       *whatif.Past
	was, is    side
	queues     []string      // that are shown one by one
	only       string        // the one queue that is shown; empty: all
	begin, end time.Duration // of what is shown
}

// side is one of the two.
type side struct {
	setup    whatif.Setup
	attempts []whatif.Attempt
	byQueue  map[string][]whatif.Attempt
	figures  whatif.Figures
}

// compare simulates.
func compare(past *whatif.Past, setup whatif.Setup, queue string) (*comparison, error) {
	c := &comparison{
		past: past, only: queue, begin: whatif.Never,
		was: side{setup: past.Setup(), attempts: past.Attempts()},
		is:  side{setup: setup, attempts: past.Simulate(setup)},
	}
	for _, s := range []*side{&c.was, &c.is} {
		s.byQueue = whatif.ByQueue(s.attempts)
		s.figures = whatif.Sum(s.attempts, s.setup.Workers)
		c.queues = slices.Sorted(maps.Keys(s.byQueue))
		if queue != "" {
			if s.byQueue[queue] == nil {
				return nil, fmt.Errorf("--queue %q: no task of it could run in that time, only of %s", queue, strings.Join(c.queues, ", "))
			}
			c.queues, s.attempts = []string{queue}, s.byQueue[queue]
			of := whatif.Sum(s.attempts, s.setup.Workers)
			of.Utilization = s.figures.Utilization // of all queues: they share the slots
			s.figures = of
		}
		c.begin, c.end = min(c.begin, s.figures.LastEnd-s.figures.Span), max(c.end, s.figures.LastEnd)
	}
	return c, nil
}
