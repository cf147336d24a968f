package dashboard

import "github.com/tasklog/tasklog/events"

// EventsPage is the page of the log: its end, which moves, or another piece of it.
type EventsPage struct {
	Base
	From, Before string // what the piece comes after, oldest first, or before, newest first; both empty: its end
	Task, Queue  string
	Type         events.Type
	Entries      []Entry
	Looked       int    // how many entries were looked at
	Next         string // from where the next piece goes on; empty on the last one
}

func (EventsPage) template() string { return "events" }

// Filters reports whether the page shows less than all events.
func (p EventsPage) Filters() bool { return p.Task != "" || p.Queue != "" || p.Type != "" }

// Matches reports whether the page shows an event.
func (p EventsPage) Matches(e events.Event) bool {
	return (p.Task == "" || e.Task == p.Task) && (p.Queue == "" || e.Data.About().Queue == p.Queue) &&
		(p.Type == "" || e.Data.Type() == p.Type)
}
