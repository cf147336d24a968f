package rebuilder

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Config says how the state is made again.
type Config struct {
	// LeaseTTL is how long from now the leases of running attempts last. It must be that of the workers.
	LeaseTTL time.Duration
	// Lossy allows a log whose beginning is gone: the rows of tasks that it does not begin are kept as they
	// are. Without it such a log is an *ErrTrimmed.
	Lossy bool
	// Shut leaves the gate shut at the end: whoever shut it opens it.
	Shut bool
	// Progress, which may be nil, is told entries read and expected. It is called from one goroutine at a time.
	Progress func(done, total int64)
	// Memory is how many bytes of rows are held at once, over all partitions. Zero means 64 MiB.
	Memory int
}

// Summary tells what a rebuild did.
type Summary struct {
	Partitions int
	Entries    int64                  // of the log, read
	Skipped    int64                  // of these, no events
	Illegal    int64                  // of these, events that no task could take
	Older      int64                  // of these, events that a row had already which was kept
	Told       []string               // what was wrong with the first of these
	Tasks      map[events.State]int64 // that the log begins, by state; also those whose retention is over
	Took       time.Duration
}

// ErrMoved reports that another rebuild took the gate of a partition over, or that Redis lost it.
var ErrMoved = errors.New("another rebuild has taken over, or redis has lost what we wrote")

// ErrTrimmed reports a log whose beginning was removed: tasks that began before would be lost.
type ErrTrimmed struct {
	Partition int
	Entries   int64 // that were removed
}

// Error says what can be done.
func (e *ErrTrimmed) Error() string {
	return fmt.Sprintf("partition %d: %d entries were removed from the log, and tasks that began there cannot be made again: "+
		"name the archive that has them with --archive or TASKLOG_ARCHIVE; --lossy keeps the rows that these have, and makes all others again", e.Partition, e.Entries)
}

// Run makes the state of every partition again. After an error, or when ctx ends, partitions that were not
// ended have their gates shut, and Run is to be called again; unless it is an *ErrTrimmed, which changed nothing.
func Run(ctx context.Context, log *eventlog.Log, cfg Config) (Summary, error) {
	began := time.Now()
	parts := log.Partitions()
	total := int64(0)
	for _, p := range parts {
		if err := whole(ctx, log, p, cfg); err != nil {
			return Summary{}, err
		}
		n, err := log.Entries(ctx, p)
		if err != nil {
			return Summary{}, fmt.Errorf("rebuild the state: %w", err)
		}
		total += n
	}
	atOnce := min(len(parts), runtime.GOMAXPROCS(0))
	if cfg.Memory == 0 {
		cfg.Memory = 64 << 20
	}
	cfg.Memory = max(1, cfg.Memory/atOnce)
	var mu sync.Mutex
	done := int64(0)
	if tell := cfg.Progress; tell != nil {
		cfg.Progress = func(read, _ int64) {
			mu.Lock()
			defer mu.Unlock()
			done += read
			tell(min(done, total), total)
		}
	}
	sum := Summary{Partitions: len(parts), Tasks: map[events.State]int64{}}
	errs := make([]error, len(parts))
	sums := make([]Summary, len(parts))
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			token, err := Shut(ctx, log, p)
			if err == nil {
				sums[i], err = Partition(ctx, log, p, token, cfg)
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, s := range sums {
		sum.add(s)
	}
	sum.Took = time.Since(began)
	err := errors.Join(errs...)
	if err == nil {
		err = log.Rewritten(ctx)
	}
	return sum, err
}

func (s *Summary) add(o Summary) {
	s.Entries += o.Entries
	s.Skipped += o.Skipped
	s.Illegal += o.Illegal
	s.Older += o.Older
	s.Told = append(s.Told, o.Told...)
	for state, n := range o.Tasks {
		s.Tasks[state] += n
	}
}

// whole refuses a log whose beginning is gone.
func whole(ctx context.Context, log *eventlog.Log, p eventlog.Partition, cfg Config) error {
	removed, err := log.Removed(ctx, p)
	if err != nil {
		return fmt.Errorf("rebuild the state: %w", err)
	}
	if removed > 0 && !cfg.Lossy {
		return &ErrTrimmed{p.N, removed}
	}
	return nil
}

// Shut shuts the gate of a partition, and takes it from whoever had it, unless that is a copy: then it
// returns an error that says so. Only Partition, with the token that Shut returns, opens it.
func Shut(ctx context.Context, log *eventlog.Log, p eventlog.Partition) (token string, err error) {
	token = rand.Text()
	err = eventlog.Persist(ctx, func() error {
		have, err := log.Gate(ctx, p)
		if err != nil {
			return err
		}
		if why := eventlog.Why(have); why != "" {
			return fmt.Errorf("the state is not made again: %s", why) // no ShutError: there is nothing to wait for
		}
		return log.Swap(ctx, p, have, token)
	})
	if err != nil {
		return "", fmt.Errorf("shut the gate of partition %d: %w", p.N, err)
	}
	crashpoint.Hit(crashpoint.RebuildAfterGate)
	return token, nil
}

// Partition makes the state of one partition again, behind the gate that Shut shut, and opens it. token
// may be that of another gate, when whoever shut it lets it be used. Progress
// is told entries read since the last time, and 0.
func Partition(ctx context.Context, log *eventlog.Log, p eventlog.Partition, token string, cfg Config) (Summary, error) {
	began := time.Now()
	if err := whole(ctx, log, p, cfg); err != nil {
		return Summary{}, err
	}
	if cfg.LeaseTTL <= 0 {
		return Summary{}, &events.FieldError{Field: "leaseTTL", Reason: "must be more than 0"}
	}
	if cfg.Memory <= 0 {
		cfg.Memory = 64 << 20
	}
	if cfg.Progress == nil {
		cfg.Progress = func(int64, int64) {}
	}
	r := &rebuild{log: log, part: p, rdb: log.Conn().View, token: token, cfg: cfg, sum: Summary{Partitions: 1, Tasks: map[events.State]int64{}}}
	for _, step := range []func(context.Context) error{r.clear, r.fold, r.index, r.open} {
		if err := step(ctx); err != nil {
			return r.sum, fmt.Errorf("rebuild the state of partition %d: %w", p.N, err)
		}
	}
	r.sum.Took = time.Since(began)
	return r.sum, nil
}
