package audit

import "fmt"

// Invariant is something that holds in every log. In JSON it is its name.
type Invariant uint8

// The invariants. A name is never given another meaning.
const (
	Known Invariant = iota
	Limits
	Order
	Whole
	Home
	OneRequest
	OneStart
	OneEnd
	Attempts
	Closer
	Final
	Cancelled
	Legal
	From
	Same
	Early
	MaxAttempts
	Backoff
	Worker
	Token
	RetryID
	Paused
	Settled
	invariants // how many there are
)

var told = [invariants]struct{ name, says string }{
	Known:       {"known", "every entry is an event of a type and a version that this program knows"},
	Limits:      {"limits", "names, numbers and sizes are within the limits"},
	Order:       {"order", "entry ids only grow"},
	Whole:       {"whole", "nothing was removed but the oldest entries"},
	Home:        {"home", "a task lives in the partition that its id says"},
	OneRequest:  {"one-request", "a task is requested once, and before all else, until it is over and its row gone"},
	OneStart:    {"one-start", "an attempt starts once"},
	OneEnd:      {"one-end", "a task ends once, until somebody asks for a retry"},
	Attempts:    {"attempts", "the attempts that start are numbered 1, 2, 3 …"},
	Closer:      {"closer", "between two starts lies exactly one event that ends the first attempt, and it names that attempt"},
	Final:       {"final", "nothing follows the end of a task but a requested retry"},
	Cancelled:   {"cancelled", "no attempt starts after a cancel"},
	Legal:       {"legal", "the events of a task follow each other as the state machine says"},
	From:        {"from", "an event names the state that it leaves"},
	Same:        {"same", "queue, name, priority and due time of an event are those of its task"},
	Early:       {"early", "no attempt is due before its time"},
	MaxAttempts: {"max-attempts", "no more attempts count than maxAttempts, and none of them is given up but by a handler"},
	Backoff:     {"backoff", "the retry of an abandoned attempt lies where the backoff puts it"},
	Worker:      {"worker", "the worker that started an attempt ends it"},
	Token:       {"token", "an attempt has a fencing token, and not that of the attempt before"},
	RetryID:     {"retry-id", "a retry that was asked for once happens once"},
	Paused:      {"paused", "pauses and resumes alternate, and nothing becomes due in between"},
	Settled:     {"settled", "every task is final"},
}

// Invariants lists them all.
func Invariants() []Invariant {
	list := make([]Invariant, invariants)
	for i := range list {
		list[i] = Invariant(i)
	}
	return list
}

// String is the invariant's name.
func (i Invariant) String() string {
	if i >= invariants {
		return fmt.Sprintf("invariant %d", uint8(i))
	}
	return told[i].name
}

// Says is the invariant as a sentence.
func (i Invariant) Says() string {
	if i >= invariants {
		return ""
	}
	return told[i].says
}

// MarshalText makes an invariant its name in JSON.
func (i Invariant) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (i *Invariant) UnmarshalText(text []byte) error {
	for n := range told {
		if told[n].name == string(text) {
			*i = Invariant(n)
			return nil
		}
	}
	return fmt.Errorf("invariant %q: there is none of that name", text)
}
