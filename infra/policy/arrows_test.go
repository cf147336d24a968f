// Package policy_test holds the house to its import policy.
package policy_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tasklog/tasklog/"

// arrows is policy, not a record: it changes by a decision in docs/decisions, never to make a build
// pass. "a → b" lets a import b and its own; the first line that names a package's folder is its rule.
const arrows = `
	events           →                                 # nor context, net, os, math/rand
	projections      → events
	infra/views      → infra/eventlog projections events
	infra/past       → infra/views infra/eventlog projections events
	infra            → events
	services/tasklog → services projections infra events
	services/client  → infra/eventlog events           # nor, through them, gin, Watermill, redsync
	services/view    → projections infra events        # nor, through them, gin, Watermill, redsync
	services         → projections infra events        # not each other
`

// A rule is a line of arrows.
type rule struct {
	folder   string
	to       []string
	never    []string // standard packages that it must not import
	nowhere  []string // modules that it must not link, not even through others
	separate bool     // its own is only what lies in the same folder one level down
}

// moduleOf names the modules that notes of the table call by their short names.
var moduleOf = map[string]string{
	"gin": "github.com/gin-gonic/gin", "Watermill": "github.com/ThreeDotsLabs/watermill", "redsync": "github.com/go-redsync/redsync",
}

func parse(table string) []rule {
	var rules []rule
	for line := range strings.Lines(table) {
		policy, note, _ := strings.Cut(line, "#")
		folder, to, found := strings.Cut(policy, "→")
		if !found {
			continue
		}
		r := rule{folder: strings.TrimSpace(folder), to: strings.Fields(to)}
		switch note = strings.TrimSpace(note); {
		case note == "not each other":
			r.separate = true
		case strings.HasPrefix(note, "nor, through them, "):
			for name := range strings.SplitSeq(strings.TrimPrefix(note, "nor, through them, "), ", ") {
				r.nowhere = append(r.nowhere, moduleOf[name])
			}
		case strings.HasPrefix(note, "nor "):
			r.never = strings.Split(strings.TrimPrefix(note, "nor "), ", ")
		}
		rules = append(rules, r)
	}
	return rules
}

// within reports whether a package lies in a folder.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// own returns the folder that a package may import from beside what its rule allows.
func (r rule) own(pkg string) string {
	if !r.separate {
		return r.folder
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(pkg, r.folder+"/"), "/")
	return r.folder + "/" + first
}

// Package is what `go list` says of one.
type Package struct {
	ImportPath string   `json:"ImportPath"`
	Imports    []string `json:"Imports"`
	Deps       []string `json:"Deps"`
}

// broken says what a package imports against its rule.
func (r rule) broken(p Package) []string {
	pkg := strings.TrimPrefix(p.ImportPath, module)
	var sins []string
	for _, path := range p.Imports {
		imported, ours := strings.CutPrefix(path, module)
		allowed := slices.ContainsFunc(append(slices.Clone(r.to), r.own(pkg)), func(f string) bool { return within(imported, f) })
		if ours && !allowed || slices.ContainsFunc(r.never, func(f string) bool { return within(path, f) }) {
			sins = append(sins, path)
		}
	}
	for _, path := range p.Deps {
		if slices.ContainsFunc(r.nowhere, func(m string) bool { return strings.HasPrefix(path, m) }) {
			sins = append(sins, "(through others) "+path)
		}
	}
	return sins
}

func TestImportsGoOneWay(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,Deps",
		"./events/...", "./projections/...", "./infra/...", "./services/...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	rules := parse(arrows)
	used := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p Package
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(rules, func(r rule) bool { return within(strings.TrimPrefix(p.ImportPath, module), r.folder) })
		if i < 0 {
			t.Errorf("no arrow starts at %s", p.ImportPath)
			continue
		}
		used[rules[i].folder] = true
		for _, sin := range rules[i].broken(p) {
			t.Errorf("%s imports %s against the arrow of %s", strings.TrimPrefix(p.ImportPath, module), sin, rules[i].folder)
		}
	}
	for _, r := range rules {
		if !used[r.folder] {
			t.Errorf("there is no package in %s: the arrow is out of date", r.folder)
		}
	}
}

func TestTheTableRefuses(t *testing.T) {
	rules := parse(arrows)
	of := func(pkg string) rule {
		return rules[slices.IndexFunc(rules, func(r rule) bool { return within(pkg, r.folder) })]
	}
	for _, test := range []struct {
		pkg, path string
		ok        bool
	}{
		{"events", "context", false},
		{"events", "net/http", false},
		{"events", "math", true},
		{"events", module + "projections", false},
		{"projections/queues", module + "events", true},
		{"projections/queues", module + "projections", true},
		{"projections/queues", module + "infra/eventlog", false},
		{"infra/eventlog", module + "infra/telemetry", true},
		{"infra/eventlog", module + "projections", false},
		{"infra/views", module + "projections", true},
		{"services/api", module + "services/api/dashboard", true},
		{"services/api", module + "services/worker", false},
		{"services/api", module + "services/apiary", false},
		{"services/client", module + "infra/bus", false},
		{"services/tasklog", module + "services/worker", true},
	} {
		p := Package{ImportPath: module + test.pkg, Imports: []string{test.path}}
		if sins := of(test.pkg).broken(p); (len(sins) == 0) != test.ok {
			t.Errorf("%s imports %s: %v", test.pkg, test.path, sins)
		}
	}
	linked := Package{ImportPath: module + "services/client", Deps: []string{"github.com/go-redsync/redsync/v4"}}
	if sins := of("services/client").broken(linked); len(sins) != 1 {
		t.Errorf("the client links redsync: %v", sins)
	}
}
