package eventlog

import (
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/tasklog/tasklog/events"
)

// labels decodes the labels of rows and dispatch entries and remembers them: a log has few, and each
// is met with every task. The zero value is ready.
type labels struct {
	known sync.Map // fragment → events.Label
	n     atomic.Int64
}

// maxLabels bounds what is remembered, for names come from clients.
const maxLabels = 4096

func (ls *labels) decode(fragment string) (events.Label, error) {
	if l, ok := ls.known.Load(fragment); ok {
		return l.(events.Label), nil
	}
	var l events.Label
	if err := json.Unmarshal([]byte("{"+fragment+"}"), &l); err != nil {
		return l, err
	}
	if ls.n.Load() < maxLabels {
		ls.n.Add(1)
		ls.known.Store(fragment, l)
	}
	return l, nil
}
