package dashboard

import (
	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/wire"
)

// PastPage is how queues and tasks stood at an instant.
type PastPage struct {
	Base
	First   int64     // ms: the beginning of the log in Redis
	At      events.ID // the instant: everything up to here had happened
	Present bool      // nobody chose an instant: this is now
	Newest  events.ID // of the events that had happened; zero when none had
	Missed  int64     // entries that are in the log no more, nor in an archive
	Queues  []wire.Queue
	Tasks   TasksPage
}

func (PastPage) template() string { return "past" }

// Instant is At as addresses name it.
func (p PastPage) Instant() string { return events.FormatInstant(p.At) }
