package wire

import (
	"time"

	"github.com/tasklog/tasklog/projections/names"
	"github.com/tasklog/tasklog/projections/throughput"
)

// Series is what happened in a window, slot by slot.
type Series struct {
	Queue    string `json:"queue,omitempty"` // empty: all queues
	WindowMs int64  `json:"windowMs"`        // that was asked for
	StepMs   int64  `json:"stepMs"`          // length of a slot
	Slots    []Slot `json:"slots"`           // oldest first; the last is still under way
}

// Slot is what happened from a time on.
type Slot struct {
	At        string `json:"at"`
	Requested int64  `json:"requested"`
	Completed int64  `json:"completed"`
	Failed    int64  `json:"failed"`  // for good
	Retried   int64  `json:"retried"` // attempts that failed and are tried again
	Wait      Spread `json:"wait"`    // how long attempts that started could have been running already
	Run       Spread `json:"run"`     // how long attempts ran that completed or failed
	Late      Spread `json:"late"`    // how long after their time tasks with a delay, and retries, came to the workers
}

// Spread is how some durations are spread, in ms; quantiles are wrong by 6 % at the most.
type Spread struct {
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

// SpreadOf reads a histogram.
func SpreadOf(h throughput.Histogram) Spread {
	return Spread{h.Count(), h.Mean(), h.Quantile(0.5), h.Quantile(0.95), h.Quantile(0.99)}
}

// SeriesOf is the series of a queue, or of all when it is empty.
func SeriesOf(queue string, window time.Duration, s throughput.Series) Series {
	v := Series{Queue: queue, WindowMs: window.Milliseconds(), StepMs: s.Step.Milliseconds(), Slots: make([]Slot, 0, len(s.Slots))}
	for _, slot := range s.Slots {
		v.Slots = append(v.Slots, Slot{
			Stamp(slot.At.UnixMilli()), slot.Requested, slot.Completed, slot.Failed, slot.Retried,
			SpreadOf(slot.Wait), SpreadOf(slot.Run), SpreadOf(slot.Late),
		})
	}
	return v
}

// Name is what happened to the tasks of a name.
type Name struct {
	TaskName  string `json:"taskName"` // empty: of all that are not told by themselves
	Requested int64  `json:"requested"`
	Completed int64  `json:"completed"`
	Failed    int64  `json:"failed"`  // for good
	Retried   int64  `json:"retried"` // attempts that failed and are tried again
	Run       Spread `json:"run"`     // how long attempts ran that completed or failed
}

// NamesOf is what happened to the tasks of some names; never nil.
func NamesOf(list []names.Name) []Name {
	v := make([]Name, 0, len(list))
	for _, n := range list {
		v = append(v, Name{n.Name, n.Requested, n.Completed, n.Failed, n.Retried, SpreadOf(n.Run)})
	}
	return v
}

// Worker is a worker that is there, or that still holds tasks.
type Worker struct {
	Worker      string    `json:"worker"`
	Present     bool      `json:"present"` // it announced itself within the last 15 s
	Host        string    `json:"host,omitempty"`
	PID         int       `json:"pid,omitempty"`
	Version     string    `json:"version,omitempty"`
	Queues      []string  `json:"queues"` // empty: all
	Concurrency int       `json:"concurrency,omitempty"`
	Running     int64     `json:"running"`
	Tasks       []Running `json:"tasks"` // the oldest first, 100 at the most
	StartedAt   string    `json:"startedAt,omitempty"`
	SeenAt      string    `json:"seenAt,omitempty"` // when it last announced itself, or its newest event
	Completed   int64     `json:"completed"`
	Failed      int64     `json:"failed"`    // attempts that it said had failed
	Released    int64     `json:"released"`  // tasks that it gave back
	Abandoned   int64     `json:"abandoned"` // attempts that it stopped extending
	Cancelled   int64     `json:"cancelled"` // attempts that were cancelled while they ran
}

// Running is a task that runs.
type Running struct {
	TaskID   string `json:"taskId"`
	TaskName string `json:"taskName,omitempty"`
	Queue    string `json:"queue,omitempty"`
	Since    string `json:"since"`
}

// System is how the log and its Redis are.
type System struct {
	At    string      `json:"at"`
	Redis Redis       `json:"redis"`
	Log   []Partition `json:"log"`
}

// Redis is what Redis says of itself; what it does not say is empty.
type Redis struct {
	Version      string   `json:"version,omitempty"`
	Memory       int64    `json:"memory"`    // bytes in use
	MaxMemory    int64    `json:"maxMemory"` // bytes; 0: no limit
	RSS          int64    `json:"rss"`       // bytes that the system gave it
	Policy       string   `json:"policy,omitempty"`
	AOF          *bool    `json:"aof,omitempty"` // whether it writes an append-only file
	Clients      int64    `json:"clients"`
	OpsPerSecond int64    `json:"opsPerSecond"`
	UptimeMs     int64    `json:"uptimeMs"`
	LastSnapshot string   `json:"lastSnapshot,omitempty"` // "ok" or "err"
	LastAppend   string   `json:"lastAppend,omitempty"`   // "ok" or "err"
	Doubts       []string `json:"doubts"`                 // what is wrong with it, as sentences
}

// Partition is the log of a partition.
type Partition struct {
	Partition int      `json:"partition"`
	Entries   int64    `json:"entries"` // in Redis
	Trimmed   int64    `json:"trimmed"` // that were removed from there
	Bytes     int64    `json:"bytes"`   // of memory; 0: Redis does not say
	FirstID   string   `json:"firstId,omitempty"`
	LastID    string   `json:"lastId,omitempty"`
	PerSecond *float64 `json:"perSecond,omitempty"` // entries of late; nothing until it was looked at twice
	Readers   []Reader `json:"readers"`
}

// Reader is who reads the log, and how far behind its end it is.
type Reader struct {
	Name     string `json:"name"`
	Kind     string `json:"kind"` // views, archive, group (of consumers) or reader
	At       string `json:"at"`   // id of the last entry that it has read
	Entries  *int64 `json:"entries,omitempty"`
	BehindMs int64  `json:"behindMs"` // from that entry to the newest one
	Pending  int64  `json:"pending"`  // that a group was given and did not yet acknowledge
	Problem  string `json:"problem,omitempty"`
}

// Search is what a search looked through.
type Search struct {
	Since     string `json:"since,omitempty"` // every task that changed since then is looked through
	AsOf      string `json:"asOf,omitempty"`  // time of the newest event that is known
	Tasks     int    `json:"tasks"`           // that are looked through
	Bytes     int    `json:"bytes"`           // of memory that they take
	Building  bool   `json:"building"`        // older tasks are still being read: since will be earlier
	BehindMs  int64  `json:"behindMs"`        // from the newest event that is known to the newest there is
	TextBytes int    `json:"textBytes"`       // of a payload, and of an error, that are looked through: the first
}
