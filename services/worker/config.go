package worker

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
)

// Config says what a worker takes and how it holds it. The zero Config is good.
type Config struct {
	// ID names the worker in events, on the dashboard and as the consumer in the dispatch streams. It
	// must be its own. Empty means host-pid, which is stable enough.
	ID string `env:"TASKLOG_WORKER_ID" usage:"name of this worker (default host-pid)"`
	// Queues are those that it serves. Empty means all, also those that come later.
	Queues []string `env:"TASKLOG_QUEUES" usage:"queues to serve, separated by commas (default all)"`
	// Concurrency is how many tasks run at once. Zero means 64.
	Concurrency int `env:"TASKLOG_CONCURRENCY" usage:"how many tasks run at once"`
	// LeaseTTL is how long an attempt lives without a heartbeat before it counts as abandoned; the
	// lock lives as long. The scheduler must be told the same. Zero means 30 s; under 3 s is an error,
	// for a pause of Redis would re-run what is running.
	LeaseTTL time.Duration `env:"TASKLOG_LEASE_TTL" usage:"how long an attempt lives without a heartbeat"`
	// LockTries is how often the mutex of a task is tried before its entry is left for later. Zero
	// means 3.
	LockTries int `env:"TASKLOG_LOCK_TRIES" usage:"tries to get the mutex of a task"`
	// LockDelay is the time between two tries. Zero means 200 ms.
	LockDelay time.Duration `env:"TASKLOG_LOCK_DELAY" usage:"time between two tries"`
	// LockJitter is by how much LockDelay varies, up and down. Zero means half of LockDelay, less than
	// nothing means not at all.
	LockJitter time.Duration `env:"TASKLOG_LOCK_JITTER" zero:"-1" usage:"by how much that time varies, up and down"`
	// DefaultTimeout bounds an attempt of a task that has no timeoutMs. Zero means no bound.
	DefaultTimeout time.Duration `env:"TASKLOG_TIMEOUT" zero:"0" usage:"timeout of tasks that have none (default no timeout)"`
	// Grace is how long running handlers may go on when the worker is told to stop. Zero means 25 s,
	// less than nothing means not at all: their contexts end at once, and their tasks are given back.
	Grace time.Duration `env:"TASKLOG_GRACE" zero:"-1" usage:"how long running handlers may go on at shutdown; 0: not at all"`

	// Prefix is that of the log that Connect opens. Empty means "tasklog".
	Prefix string
	// Version is that of the program, shown on the dashboard. Empty means as Go's build recorded it.
	Version string
	// Metrics is where the worker registers what it counts. Nil means nowhere.
	Metrics prometheus.Registerer
}

// DefaultConfig returns what the zero Config means, but for the ID, which each worker gets from New.
func DefaultConfig() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Concurrency == 0 {
		c.Concurrency = 64
	}
	if c.LeaseTTL == 0 {
		c.LeaseTTL = 30 * time.Second
	}
	if c.LockTries == 0 {
		c.LockTries = 3
	}
	if c.LockDelay == 0 {
		c.LockDelay = 200 * time.Millisecond
	}
	if c.LockJitter == 0 {
		c.LockJitter = c.LockDelay / 2
	}
	if c.Grace == 0 {
		c.Grace = 25 * time.Second
	}
	if c.Version == "" {
		c.Version = "unknown"
		if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
			c.Version = info.Main.Version
		}
	}
	return c
}

// minLease is the least LeaseTTL.
var minLease = 3 * time.Second

func (c Config) validate() error {
	if err := events.ValidateName("worker id", c.ID); err != nil {
		return err
	}
	for _, q := range c.Queues {
		if err := events.ValidateName("queue", q); err != nil {
			return err
		}
	}
	switch {
	case c.Concurrency < 1 || c.Concurrency > 1<<20:
		return &events.FieldError{Field: "concurrency", Reason: fmt.Sprintf("%d is not between 1 and %d", c.Concurrency, 1<<20)}
	case c.LeaseTTL < minLease:
		return &events.FieldError{Field: "lease TTL", Reason: fmt.Sprintf("%s: a pause of Redis would re-run what is running; want %s or more", c.LeaseTTL, minLease)}
	case c.LockTries < 1:
		return &events.FieldError{Field: "lock tries", Reason: fmt.Sprintf("%d is less than 1", c.LockTries)}
	case c.LockDelay < 0 || c.LockJitter > c.LockDelay:
		return &events.FieldError{Field: "lock delay", Reason: fmt.Sprintf("%s ± %s is no time to wait", c.LockDelay, max(0, c.LockJitter))}
	case c.DefaultTimeout < 0:
		return &events.FieldError{Field: "timeout", Reason: fmt.Sprintf("%s is less than nothing", c.DefaultTimeout)}
	}
	return nil
}

// workers counts those of this process that were not given an id.
var workers atomic.Int64

// defaultID is host-pid, and host-pid-2 for the second worker of a process.
func defaultID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	id := host + "-" + strconv.Itoa(os.Getpid())
	if n := workers.Add(1); n > 1 {
		id += "-" + strconv.FormatInt(n, 10)
	}
	return id
}
