// Package docs_test holds the README and the pages beside it against the code.
package docs_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/services/worker/httptarget"
)

const root = ".." // of the repository

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if scratch != "" {
			_ = os.RemoveAll(scratch) // what is left of it is in the way of nobody
		}
		os.Exit(code)
	}))
}

// page is one Markdown file.
type page struct {
	path   string // from the root
	text   string
	blocks []block
}

// block is what stands between two fences.
type block struct {
	lang string
	text string
	line int // of its opening fence
}

// readPages reads the README and everything under docs.
func readPages(t *testing.T) []page {
	t.Helper()
	paths := []string{"README.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			paths = append(paths, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var pages []page
	for _, path := range paths {
		pages = append(pages, readPage(t, path))
	}
	return pages
}

func readPage(t *testing.T, path string) page {
	t.Helper()
	p := page{path: path, text: read(t, path)}
	var open *block
	for i, line := range strings.SplitAfter(p.text, "\n") {
		lang, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open == nil:
			open = &block{lang: lang, line: i + 1}
		case fence:
			p.blocks = append(p.blocks, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block does not end", path, open.line)
	}
	return p
}

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// walk calls f with every file of the code, by its path from the root.
func walk(t *testing.T, f func(path string)) {
	t.Helper()
	for _, top := range []string{"docs/examples", "events", "infra", "projections", "services"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				f(strings.TrimPrefix(path, root+"/"))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// flat is text without indentation: how deep a line stands is no matter.
func flat(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

func TestEveryGoBlockStandsInAnExampleThatCompiles(t *testing.T) {
	var examples []string
	walk(t, func(path string) {
		if strings.HasPrefix(path, "docs/examples/") || strings.HasSuffix(path, "example_test.go") {
			examples = append(examples, flat(read(t, path)))
		}
	})
	n := 0
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			if b.lang != "go" {
				continue
			}
			n++
			if !slices.ContainsFunc(examples, func(e string) bool { return strings.Contains(e, flat(b.text)) }) {
				t.Errorf("%s:%d: no file of docs/examples and no example_test.go has these lines", p.path, b.line)
			}
		}
	}
	if n < 3 {
		t.Errorf("%d Go blocks, want those of a worker, a client and a subscriber", n)
	}
}

func TestEveryHandlersFileLoads(t *testing.T) {
	for _, name := range []string{"MAIL_TOKEN", "MAIL_SECRET"} {
		t.Setenv(name, "x")
	}
	n := 0
	for _, p := range readPages(t) {
		for _, b := range p.blocks {
			if b.lang != "yaml" || !strings.Contains(b.text, "\ntargets:") {
				continue
			}
			n++
			file := filepath.Join(t.TempDir(), "handlers.yml")
			if err := os.WriteFile(file, []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			set, err := httptarget.Load(file)
			if err != nil {
				t.Errorf("%s:%d: %v", p.path, b.line, err)
				continue
			}
			set.Close()
		}
	}
	if n == 0 {
		t.Error("no page shows a handlers file")
	}
}

var (
	fences  = regexp.MustCompile("(?s)\n```.*?\n```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	// quoted is a path of the repository between backquotes; one with an ellipsis or a wildcard is a pattern.
	quoted = regexp.MustCompile("`((?:docs|events|infra|projections|services|\\.ci)/[^`\\s*…]*)`")
)

// anchors are the fragments that links may name, as GitHub makes them.
func anchors(text string) []string {
	var list []string
	for _, m := range heading.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(slug, " ", "-"))
	}
	return list
}

func TestEveryLinkAndEveryPathLeadsSomewhere(t *testing.T) {
	for _, p := range readPages(t) {
		text := fences.ReplaceAllString(p.text, "")
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			file, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := p.path
			if file != "" {
				target = filepath.Join(filepath.Dir(p.path), file)
			}
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s: %v", p.path, m[1], err)
				continue
			}
			if fragment != "" && !slices.Contains(anchors(read(t, target)), fragment) {
				t.Errorf("%s links to %s: %s has no such heading", p.path, m[1], target)
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names a path: %v", p.path, err)
			}
		}
	}
}

func TestEveryMetricThatIsNamedIsMeasured(t *testing.T) {
	var sources bytes.Buffer
	walk(t, func(path string) {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			sources.WriteString(read(t, path))
		}
	})
	metric := regexp.MustCompile("`tasklog_(api|bus|projector|relay|scheduler|worker)_([a-z_]+)")
	n := 0
	for _, p := range readPages(t) {
		for _, m := range metric.FindAllStringSubmatch(p.text, -1) {
			n++
			for _, part := range m[1:] {
				if !strings.Contains(sources.String(), `"`+part+`"`) {
					t.Errorf("%s names a metric %s…: there is no %q in the code", p.path, m[0], part)
				}
			}
		}
	}
	if n == 0 {
		t.Error("no page names a metric")
	}
}
