// Package dashboard renders the pages that people look at: templates and assets, embedded, and
// nothing that reads or decides.
//
// # Guarantees
//
// Whatever a name, a payload or an error holds, a page shows it as text: html/template escapes by
// context, and no page has a script or a style of its own, so that a Content-Security-Policy can
// forbid them all. The pages are complete without JavaScript, and offer no button: a command to copy
// is quoted for the shell.
package dashboard

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/wire"
)

//go:embed templates assets
var files embed.FS

// Pages renders pages.
type Pages struct {
	queues, task, notice *template.Template
}

// New parses the embedded templates.
func New() (*Pages, error) {
	page := func(name string) (*template.Template, error) {
		t, err := template.New("layout.html").Funcs(funcs).ParseFS(files, "templates/layout.html", "templates/"+name)
		if err != nil {
			return nil, fmt.Errorf("parse page %s: %w", name, err)
		}
		return t, nil
	}
	var p Pages
	for name, t := range map[string]**template.Template{"queues.html": &p.queues, "task.html": &p.task, "notice.html": &p.notice} {
		var err error
		if *t, err = page(name); err != nil {
			return nil, err
		}
	}
	return &p, nil
}

// Base is what every page shows.
type Base struct {
	Now  time.Time // by Redis' clock: ages are told from it. Zero when it is not known
	Host string    // as the client named us, for the commands to copy
}

// Queue is a line of the queue table.
type Queue struct {
	Name   string
	Paused bool
	Counts map[events.State]int64
}

// QueuesPage is the page of queues, newest tasks and newest events.
type QueuesPage struct {
	Base
	Queues []Queue
	Missed int64 // entries removed from the log before they were counted
	Tasks  []events.Task
	Events []events.Event
}

// TaskPage is the page of one task.
type TaskPage struct {
	Base
	Task   events.Task
	Result string // JSON, of a completed task
	Error  string // of a task whose last attempt failed, or that was cancelled
	Events []Event
}

// Event is one event of a task's history.
type Event struct {
	events.Event
	JSON string // its body
}

// NoticePage says why there is nothing else to see.
type NoticePage struct {
	Base
	Title, Detail string
}

// Queues renders the page at /admin/queues.
func (p *Pages) Queues(w io.Writer, page QueuesPage) error { return p.queues.Execute(w, page) }

// Task renders the page at /admin/queues/tasks/:id.
func (p *Pages) Task(w io.Writer, page TaskPage) error { return p.task.Execute(w, page) }

// Notice renders a page in place of another one.
func (p *Pages) Notice(w io.Writer, page NoticePage) error { return p.notice.Execute(w, page) }

// Asset returns a file that pages refer to, and its media type.
func (p *Pages) Asset(name string) (data []byte, mediaType string, ok bool) {
	mediaType = map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}[path.Ext(name)]
	data, err := fs.ReadFile(files, path.Join("assets", path.Base(name)))
	return data, mediaType, err == nil
}

// Age tells how long before now a time in ms was, in one unit.
func (b Base) Age(ms int64) string {
	if b.Now.IsZero() || ms == 0 {
		return ""
	}
	d := b.Now.Sub(time.UnixMilli(ms))
	ahead := d < 0
	d = d.Abs()
	var s string
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		s = fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		s = fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		s = fmt.Sprintf("%d h", d/time.Hour)
	default:
		s = fmt.Sprintf("%d d", d/(24*time.Hour))
	}
	if ahead {
		return "in " + s
	}
	return s
}

var funcs = template.FuncMap{
	"states": func() []events.State { return events.States },
	"clock":  func(ms int64) string { return time.UnixMilli(ms).UTC().Format("15:04:05.000") },
	"stamp":  wire.Stamp,
	"first":  func(ids []events.ID) events.ID { return at(ids, 0) },
	"last":   func(ids []events.ID) events.ID { return at(ids, len(ids)-1) },
	"text":   func(b []byte) string { return string(b) },
	"shell":  shell,
	"path":   url.PathEscape,
	"retryable": func(s events.State) bool {
		return s == events.StateFailed || s == events.StateCancelled
	},
}

func at(ids []events.ID, i int) events.ID {
	if i < 0 || i >= len(ids) {
		return events.ID{}
	}
	return ids[i]
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9._:/@+][A-Za-z0-9._:/@+-]*$`)

// shell quotes an argument of a command that a person will paste.
func shell(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	quoted := "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	if strings.HasPrefix(s, "-") {
		return "-- " + quoted
	}
	return quoted
}
