// Package dashboard renders the pages that people look at: templates and assets, embedded, and
// nothing that reads or decides.
//
// # Guarantees
//
// Whatever a name, a payload or an error holds, a page shows it as text: html/template escapes by
// context, and no page has a script or a style of its own, so that a Content-Security-Policy can
// forbid them all. The pages are complete without JavaScript, and offer no button: a command to copy
// is quoted for the shell.
//
// # Live parts
//
// A template whose name begins with "live-" is a part of a page that changes: one element, whose id is
// that name. Parts renders these alone, for who has the page and wants to keep it up.
package dashboard

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed templates assets
var files embed.FS

// Page is what a page shows. The set is that of the templates.
type Page interface {
	// template names the template that shows the page.
	template() string
}

// Pages renders pages.
type Pages struct {
	sets map[string]*template.Template // by what Page.template returns
}

// New parses the embedded templates.
func New() (*Pages, error) {
	shared, err := template.New("layout.html").Funcs(funcs).ParseFS(files, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, fmt.Errorf("parse the pages: %w", err)
	}
	p := &Pages{sets: map[string]*template.Template{}}
	for _, page := range []Page{Overview{}, QueuePage{}, TasksPage{}, TaskPage{}, EventsPage{}, WorkersPage{}, PastPage{}, NoticePage{}} {
		set, err := shared.Clone()
		if err == nil {
			set, err = set.ParseFS(files, "templates/"+page.template()+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("parse the page %s: %w", page.template(), err)
		}
		p.sets[page.template()] = set
	}
	return p, nil
}

// Render writes a whole page.
func (p *Pages) Render(w io.Writer, page Page) error { return p.sets[page.template()].Execute(w, page) }

// Part is a live part of a page.
type Part struct {
	ID   string // of its element
	HTML string // the element
}

// Parts renders the live parts of a page, in the order of their ids.
func (p *Pages) Parts(page Page) ([]Part, error) {
	var parts []Part
	for _, t := range p.sets[page.template()].Templates() {
		if !strings.HasPrefix(t.Name(), "live-") {
			continue
		}
		var b bytes.Buffer
		if err := t.Execute(&b, page); err != nil {
			return nil, err
		}
		parts = append(parts, Part{ID: t.Name(), HTML: b.String()})
	}
	slices.SortFunc(parts, func(a, b Part) int { return strings.Compare(a.ID, b.ID) })
	return parts, nil
}

// Asset returns a file that pages refer to, and its media type.
func (p *Pages) Asset(name string) (data []byte, mediaType string, ok bool) {
	mediaType = map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
	}[path.Ext(name)]
	data, err := fs.ReadFile(files, path.Join("assets", path.Base(name)))
	return data, mediaType, err == nil
}
