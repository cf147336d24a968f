package copier

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Mode is what becomes of a copy.
type Mode int

const (
	// Follow leaves the copy shut: it is to be gone on with.
	Follow Mode = iota
	// Move opens the copy and shuts the source, for good.
	Move
	// Clone opens the copy, and the source goes on: tasks that are not over are in both.
	Clone
)

// Config says what is copied, and what becomes of it.
type Config struct {
	Mode Mode
	// Source and Target name the two logs, to people. Target is the same in every run of one copy.
	Source, Target string
	// Running allows a move while attempts run: they end as abandoned in the copy and are tried again.
	Running bool
	// Again compares what was copied in earlier runs once more.
	Again bool
	// State makes the state of a partition of the copy from its log, behind a gate that it leaves as it is. It is
	// called for several partitions at once.
	State func(ctx context.Context, p eventlog.Partition, gate string) error
	// Views, which may be nil, makes the views of the copy, after it was opened.
	Views func(ctx context.Context) error
	// Progress, which may be nil, is told entries done and expected. It is called from one goroutine at a time.
	Progress func(done, total int64)
	// Memory is roughly how many bytes of entries are held at once. Zero means 64 MiB.
	Memory int
}

// Summary tells what a run did.
type Summary struct {
	Copied   int64     // entries, in this run
	Compared int64     // entries, in this run: the copied ones, and those that earlier runs copied and did not compare
	Entries  int64     // that the copy has
	Moved    int64     // of the compared ones, those that got another id
	UpTo     time.Time // all that the source had before is in the copy; zero: the source is shut, and all of it is
	Behind   int64     // entries that the source has by now, and the copy has not
	Running  int64     // attempts that ran in the source: they end as abandoned in a copy that was opened
	Opened   bool      // the copy is open
	Took     time.Duration
}

// TrimmedError reports a source whose beginning is gone: no state could be made from the copy.
type TrimmedError struct {
	Partition int
	Entries   int64 // that were removed
}

// Error says what can be done.
func (e *TrimmedError) Error() string {
	return fmt.Sprintf("partition %d of the source: %d entries were removed from the log, and the copy would lack them: "+
		"name the archive that has them with --archive or TASKLOG_ARCHIVE", e.Partition, e.Entries)
}

// RunningError reports that attempts run in a source that is to be moved. It goes on as before.
type RunningError struct{ Attempts int64 }

// Error says what can be done.
func (e *RunningError) Error() string {
	return fmt.Sprintf("%d attempts run, and their workers could not say how they end: stop the workers first, they finish what they run; "+
		"--running moves all the same, and these attempts are tried again in the copy. The source goes on as before", e.Attempts)
}

// ErrFinished reports a copy that was finished before, and that cannot be gone on with.
var ErrFinished = errors.New("this copy was finished: it has a life of its own, and nothing more can be copied into it; name another prefix or Redis")

// Copy is a copy under way.
type Copy struct {
	source, target *eventlog.Log
	cfg            Config
	token          string
	targets        []*target
	sources        []*source
	read, total    atomic.Int64 // entries, for Progress
	mu             sync.Mutex   // guards the rest, where groups are under way
	sum            Summary
	given          bool // the source is given up: there is no way back
}

// Run copies a log, and does with the copy what the Config says. Whatever the error, what was copied stays,
// and Run may be called again; the copy is shut unless the Summary tells it as Opened. A move that failed has opened the source
// again, unless it had given it up: then the next Run ends it.
func Run(ctx context.Context, source, target *eventlog.Log, cfg Config) (Summary, error) {
	began := time.Now()
	if cfg.Memory == 0 {
		cfg.Memory = 64 << 20
	}
	c := &Copy{source: source, target: target, cfg: cfg, token: rand.Text()}
	err := c.run(ctx)
	c.sum.Took = time.Since(began)
	return c.sum, err
}

func (c *Copy) run(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	if c.complete() {
		return c.end(ctx)
	}
	if err := c.hold(ctx); err != nil {
		return err
	}
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	switch c.cfg.Mode {
	case Move:
		return c.move(ctx)
	case Clone:
		if err := c.prepare(ctx); err != nil {
			return err
		}
		return c.open(ctx)
	case Follow:
	}
	return nil
}

// begin looks at the target, takes it over and loads how far the copy is.
func (c *Copy) begin(ctx context.Context) error {
	var gates []string
	for _, p := range c.target.Partitions() { // before anything is changed
		var t *target
		var gate string
		err := eventlog.Persist(ctx, func() (err error) {
			t, gate, err = c.look(ctx, p)
			return err
		})
		if err != nil {
			return err
		}
		c.targets, gates = append(c.targets, t), append(gates, gate)
	}
	if c.complete() && c.cfg.Mode == Follow {
		return ErrFinished
	}
	for i, t := range c.targets {
		if t.done && gates[i] == "" {
			continue // it is open
		}
		if err := c.shut(ctx, t, gates[i]); err != nil {
			return err
		}
		if c.cfg.Again && !t.done {
			t.cp, t.last = checkpoint{Sources: map[int]place{}}, events.ID{}
		}
		crashpoint.Hit(crashpoint.CopyAfterGate)
	}
	for _, p := range c.source.Partitions() {
		s := &source{part: p}
		first := true
		for _, t := range c.targets {
			if !c.feeds(p, t.part) {
				continue
			}
			if at := t.cp.Sources[p.N]; first || at.At.Compare(s.place.At) < 0 {
				s.place, first = at, false
			}
		}
		c.sources = append(c.sources, s)
	}
	return nil
}

// hold keeps the source from being trimmed where it was not copied, and refuses one whose beginning is gone or
// that is another one than the copy was begun from.
func (c *Copy) hold(ctx context.Context) error {
	for _, s := range c.sources {
		if err := c.note(ctx, s); err != nil {
			return err
		}
		err := eventlog.Persist(ctx, func() error { return c.begins(ctx, s) })
		if trimmed, ok := errors.AsType[*TrimmedError](err); ok {
			return errors.Join(trimmed, c.letGo(ctx))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begins returns nil for a partition of the source that has its beginning, and the entry that was copied last.
func (c *Copy) begins(ctx context.Context, s *source) error {
	removed, err := c.source.Removed(ctx, s.part)
	switch {
	case err != nil:
		return err
	case removed > 0:
		return &TrimmedError{s.part.N, removed}
	case s.place.At.IsZero():
		return nil
	}
	found, err := c.source.Verbatim(ctx, s.part, s.place.At.Prev(), s.place.At, 1)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("copy to %s: it was begun from a log with an entry %s in partition %d, and this one has none: %w",
			c.cfg.Target, s.place.At, s.part.N, ErrNotEmpty)
	}
	return err
}

// reader is the name under which the source is kept from being trimmed.
func (c *Copy) reader() string { return "copy to " + c.cfg.Target }

// note says how far a partition of the source was copied, for whoever trims it.
func (c *Copy) note(ctx context.Context, s *source) error {
	return eventlog.Persist(ctx, func() error {
		return c.source.Conn().View.HSet(ctx, s.part.Readers, c.reader(), s.place.At.String()).Err()
	})
}

// letGo lets the source be trimmed.
func (c *Copy) letGo(ctx context.Context) error {
	for _, s := range c.sources {
		if err := eventlog.Persist(ctx, func() error { return c.source.Conn().View.HDel(ctx, s.part.Readers, c.reader()).Err() }); err != nil {
			return err
		}
	}
	return nil
}

// soon is how short a pass is after which the copy counts as caught up.
const soon = time.Second

// catchUp copies what the source has, and what came meanwhile, until little comes.
func (c *Copy) catchUp(ctx context.Context) error {
	for {
		began := time.Now()
		now, err := c.now(ctx)
		if err != nil {
			return err
		}
		// What is of an earlier millisecond is all there: nothing can be appended before it any more.
		if err := c.pass(ctx, events.ID{Ms: now.UnixMilli() - 1, Seq: events.MaxID.Seq}); err != nil {
			return err
		}
		c.sum.UpTo = now
		if time.Since(began) < soon {
			return c.count(ctx)
		}
	}
}

// now returns the clock that ids of the source are made by; where several servers hold it, the one that is behind.
func (c *Copy) now(ctx context.Context) (earliest time.Time, err error) {
	for _, s := range c.sources {
		var clock *redis.TimeCmd
		err := eventlog.Persist(ctx, func() error {
			pipe := c.source.Conn().Glance() // the clock is that of the server that holds the stream
			clock = pipe.Time(ctx)
			pipe.XLen(ctx, s.part.Events)
			_, err := pipe.Exec(ctx)
			return err
		})
		if err != nil {
			return earliest, fmt.Errorf("ask partition %d of the source for its clock: %w", s.part.N, err)
		}
		if now := clock.Val(); earliest.IsZero() || now.Before(earliest) {
			earliest = now
		}
	}
	return earliest, nil
}

// count counts what the copy lacks and what runs.
func (c *Copy) count(ctx context.Context) error {
	var read int64
	for _, s := range c.sources {
		read += s.place.Read
	}
	total, err := c.size(ctx)
	if err != nil {
		return err
	}
	c.sum.Behind, c.sum.Running = total-read, 0
	for _, s := range c.sources {
		var n int64
		err := eventlog.Persist(ctx, func() (err error) {
			n, err = c.source.Conn().View.ZCard(ctx, s.part.Leases).Result()
			return err
		})
		if err != nil {
			return fmt.Errorf("count the attempts that run: %w", err)
		}
		c.sum.Running += n
	}
	return nil
}

// size returns how many entries the source has, those in its archive too.
func (c *Copy) size(ctx context.Context) (total int64, err error) {
	for _, s := range c.sources {
		var n int64
		err := eventlog.Persist(ctx, func() (err error) {
			n, err = c.source.Entries(ctx, s.part)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("count the entries of the source: %w", err)
		}
		total += n
	}
	return total, nil
}

// pass copies the source up to an id.
func (c *Copy) pass(ctx context.Context, until events.ID) error {
	total, err := c.size(ctx)
	if err != nil {
		return err
	}
	c.total.Store(total)
	var read int64
	for _, s := range c.sources {
		read += s.place.Read
	}
	c.read.Store(read)
	n := gcd(len(c.sources), len(c.targets))
	atOnce := min(n, runtime.GOMAXPROCS(0))
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	errs := make([]error, n)
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		g := c.group(i, n)
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if errs[i] = g.run(ctx, until, c.cfg.Memory/atOnce); errs[i] != nil {
				stop() // the others need not go on
			}
		})
	}
	wg.Wait()
	c.sum.Entries = 0
	for _, t := range c.targets {
		c.sum.Entries += t.cp.Entries
	}
	if err := first(errs); err != nil {
		return err
	}
	for _, s := range c.sources {
		if err := c.note(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// progress counts entries that were read.
func (c *Copy) progress(n int64) {
	if c.cfg.Progress == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	read := c.read.Add(n)
	c.cfg.Progress(min(read, c.total.Load()), c.total.Load())
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
