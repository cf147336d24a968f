package dashboard

import (
	"html/template"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/wire"
)

// Moment is a time on a page. Without the script it is told in UTC and by its age when the page was
// made; the script tells it in the zone of who looks, and lets it age.
type Moment struct {
	Stamp string // RFC 3339
	Form  string // "age", "for", "clock" or "stamp": how it is told
	Text  string
}

// Ago is a moment by its age.
func (b Base) Ago(ms int64) Moment { return Moment{wire.Stamp(ms), "age", b.Age(ms)} }

// For is a moment by how long it lasts since then.
func (b Base) For(ms int64) Moment {
	return Moment{wire.Stamp(ms), "for", strings.TrimSuffix(b.Age(ms), " ago")}
}

func clock(ms int64) Moment {
	return Moment{wire.Stamp(ms), "clock", time.UnixMilli(ms).UTC().Format("15:04:05.000")}
}

func stamp(ms int64) Moment {
	return Moment{wire.Stamp(ms), "stamp", time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000") + " UTC"}
}

var funcs = template.FuncMap{
	"states": func() []events.State { return events.States },
	"types":  func() []events.Type { return events.Types },
	"ms":     millis,
	"bytes":  size,
	"clock":  clock,
	"stamp":  stamp,
	"last":   last,
	"span":   spanOf,
	"shell":  shell,
	"path":   url.PathEscape,
	"query":  url.QueryEscape,
	"number": number,
	"rest":   rest,
	"many":   many,
	"list":   func(items ...any) []any { return items },
}

// rest is how many tasks a worker runs besides the first ones of its list that are shown.
func rest(w wire.Worker, shown int) int64 { return max(0, w.Running-int64(min(shown, len(w.Tasks)))) }

// many says how many there are of something that one noun names, or else another. The number is an integer of
// any type, or leads to one.
func many(n reflect.Value, one, more string) string {
	count := reflect.Indirect(n).Int()
	if count == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(count, 10) + " " + more
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

// millis is the inverse of wire.Stamp.
func millis(stamp string) int64 {
	t, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return 0
	}
	return t.UnixMilli()
}

// size tells a number of bytes.
func size(n int64) string {
	v, unit := float64(n), "B"
	for _, larger := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, larger
	}
	return number(v) + " " + unit
}
