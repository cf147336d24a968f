package audit

import (
	"math"
	"strings"

	"github.com/tasklog/tasklog/events"
)

// Summary is where a task stands, small enough to be kept of every task: what is long is a hash.
// Those of a task's row and of its events are equal.
type Summary struct {
	State     events.State
	Queue     string
	Priority  int
	Attempt   int
	Uncounted int
	DueAt     int64     // ms
	Requested events.ID // entry of TaskRequested; zero for a task that is over
	Last      events.ID // its newest entry

	History    uint64 // of the ids of all its entries
	Definition uint64 // of what was asked for
	Holder     uint64 // of token and worker
	Retry      uint64 // of the request id of its last retry

	Again    bool // a task of this id was over and forgotten before
	Believed bool // the log begins after the task did: hashes and numbers are unknown
}

// Of returns the summary of a task, for one that its row tells.
func Of(t events.Task) Summary {
	s := Summary{
		State: t.State, Queue: t.Queue, Priority: t.Priority, Attempt: t.Attempt, Uncounted: t.Uncounted, DueAt: t.DueAt,
		Definition: definition(t.Label, t.Definition), Holder: holder(t.Token, t.Worker), Retry: hash(seed, t.RetryID),
		History: seed,
	}
	for _, id := range t.Events {
		s.History = chain(s.History, id)
	}
	if n := len(t.Events); n > 0 {
		s.Requested, s.Last = t.Events[0], t.Events[n-1]
	}
	return s
}

// Differs says in which way o, of the task's row, is not s; "" when it is.
func (s Summary) Differs(o Summary) string {
	var wrong []string
	add := func(differs bool, what string) {
		if differs {
			wrong = append(wrong, what)
		}
	}
	add(s.State != o.State, "its state is "+name(o.State)+" and not "+name(s.State))
	add(s.Last != o.Last, "its newest event is "+o.Last.String()+" and not "+s.Last.String())
	if !s.Believed {
		add(s.Attempt != o.Attempt || s.Uncounted != o.Uncounted, "other attempts")
		add(s.DueAt != o.DueAt, "another due time")
		add(s.Last == o.Last && s.History != o.History, "other events")
		defined := s.State != events.StateCompleted // by its row
		add(s.Queue != o.Queue || defined && s.Definition != o.Definition, "another definition")
		add(s.Holder != o.Holder, "another token or worker")
		add(s.Retry != o.Retry, "another retry")
	}
	return strings.Join(wrong, ", ")
}

// name is a state in sentences.
func name(s events.State) string {
	if s == events.StateNone {
		return "none"
	}
	return string(s)
}

// FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv.
const (
	seed  = 14695981039346656037
	prime = 1099511628211
)

// hash adds a string, and where it ends.
func hash(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime
	}
	return mix(h, uint64(len(s)))
}

// mix adds a number, with the finalizer of splitmix64: FNV alone spreads numbers badly.
func mix(h, n uint64) uint64 {
	h = (h ^ n) * prime
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

func chain(h uint64, id events.ID) uint64 { return mix(mix(h, uint64(id.Ms)), id.Seq) }

func holder(token, worker string) uint64 { return hash(hash(seed, token), worker) }

func definition(l events.Label, d events.Definition) uint64 {
	h := hash(hash(hash(seed, l.Queue), l.Name), string(d.Payload))
	h = mix(mix(mix(h, uint64(d.Priority)), uint64(d.MaxAttempts)), uint64(d.TimeoutMs))
	h = mix(mix(hash(h, d.Backoff.Type), uint64(d.Backoff.DelayMs)), uint64(d.Backoff.MaxDelayMs))
	if d.Backoff.Jitter != nil {
		h = mix(h, math.Float64bits(*d.Backoff.Jitter))
	}
	return hash(hash(h, d.Traceparent), d.RequestID)
}
