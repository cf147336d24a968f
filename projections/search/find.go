package search

import (
	"iter"
	"slices"
	"strings"

	"github.com/tasklog/tasklog/events"
)

// Query chooses tasks. The zero Query chooses all.
type Query struct {
	Words []string     // all of them occur; see Words
	State events.State // empty: all states
	Queue string       // empty: all queues
	Name  string       // of the task's kind; empty: all
	From  int64        // ms: its newest event is not before; 0: any
	Until int64        // ms: its newest event is before; 0: any
}

// Words returns what a text asks for: its words, in lower case.
func Words(s string) []string { return strings.Fields(strings.ToLower(s)) }

// Found is a task that was found, and its newest event.
type Found struct {
	Task string
	At   events.ID
}

// Find yields the tasks that a query chooses and whose newest event lies before an id, the newest first. It
// looks at every task in turn: a page that goes on before the id of its last task misses none that did not
// change meanwhile, and has none twice.
func (x *Index) Find(q Query, before events.ID) iter.Seq[Found] {
	return func(yield func(Found) bool) {
		for _, d := range slices.Backward(x.newer[x.head:]) {
			if !q.look(d, before, yield) {
				return
			}
		}
		for _, d := range x.older {
			if !q.look(d, before, yield) {
				return
			}
		}
	}
}

// look yields a document if it is chosen, and reports whether to go on.
func (q *Query) look(d *document, before events.ID, yield func(Found) bool) bool {
	if d == nil || d.at.Compare(before) >= 0 {
		return true
	}
	if d.at.Ms < q.From {
		return false
	}
	return !q.chooses(d) || yield(Found{d.id, d.at})
}

func (q *Query) chooses(d *document) bool {
	if q.Until > 0 && d.at.Ms >= q.Until || q.State != events.StateNone && q.State != d.state {
		return false
	}
	if q.Queue != "" || q.Name != "" {
		label := d.label.Value()
		if q.Queue != "" && q.Queue != label.Queue || q.Name != "" && q.Name != label.Name {
			return false
		}
	}
	for _, word := range q.Words {
		if !strings.Contains(d.text, word) && !strings.Contains(d.wrong, word) {
			return false
		}
	}
	return true
}
