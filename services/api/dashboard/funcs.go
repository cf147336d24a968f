package dashboard

import (
	"html/template"
	"net/url"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/wire"
)

// Moment is a time on a page. Without the script it is told in UTC and by its age when the page was
// made; the script tells it in the zone of who looks, and lets it age.
type Moment struct {
	Stamp string // RFC 3339
	Form  string // "age", "clock" or "stamp": how it is told
	Text  string
}

// Ago is a moment by its age.
func (b Base) Ago(ms int64) Moment { return Moment{wire.Stamp(ms), "age", b.Age(ms)} }

func clock(ms int64) Moment {
	return Moment{wire.Stamp(ms), "clock", time.UnixMilli(ms).UTC().Format("15:04:05.000")}
}

func stamp(ms int64) Moment {
	return Moment{wire.Stamp(ms), "stamp", time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") + " UTC"}
}

var funcs = template.FuncMap{
	"states": func() []events.State { return events.States },
	"clock":  clock,
	"stamp":  stamp,
	"last":   last,
	"span":   spanOf,
	"shell":  shell,
	"path":   url.PathEscape,
	"list":   func(items ...any) []any { return items },
}

// last is the ms of a task's newest event, 0 without one.
func last(t events.Task) int64 {
	if len(t.Events) == 0 {
		return 0
	}
	return t.Events[len(t.Events)-1].Ms
}

// spanOf tells a duration in ms in one unit.
func spanOf(ms int64) string { return span(max(0, time.Duration(ms)*time.Millisecond)) }
