package eventlog

import (
	"sync"
	"sync/atomic"

	"github.com/tasklog/tasklog/events"
)

// labels translates between labels and their fragments, and remembers: a log has few, and each is met
// with every task. The zero value is ready.
type labels struct {
	decoded sync.Map // fragment → events.Label
	encoded sync.Map // events.Label → fragment
	n       atomic.Int64
}

// maxLabels bounds what is remembered, for names come from clients.
const maxLabels = 4096

func (ls *labels) decode(fragment string) (events.Label, error) {
	if l, ok := ls.decoded.Load(fragment); ok {
		return l.(events.Label), nil
	}
	var l events.Label
	if err := events.ReadFragment(fragment, &l); err != nil {
		return l, err
	}
	if ls.n.Load() < maxLabels {
		ls.n.Add(1)
		ls.decoded.Store(fragment, l)
	}
	return l, nil
}

func (ls *labels) encode(l events.Label) (string, error) {
	if f, ok := ls.encoded.Load(l); ok {
		return f.(string), nil
	}
	fragment, err := events.Fragment(l)
	if err != nil {
		return "", err
	}
	if ls.n.Load() < maxLabels {
		ls.n.Add(1)
		ls.encoded.Store(l, fragment)
	}
	return fragment, nil
}
