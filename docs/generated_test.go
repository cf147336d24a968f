package docs_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/audit"
)

var update = flag.Bool("update", false, "write what is generated into the pages")

// generated compares what stands in a page between the markers of a name with what the code says, or
// writes it.
func generated(t *testing.T, path, name, want string) {
	t.Helper()
	text := read(t, path)
	begin, end := "<!-- generated: "+name+" -->\n", "<!-- end -->"
	head, rest, ok := strings.Cut(text, begin)
	have, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s: want the lines %q and %q", path, begin, end)
	}
	want = strings.TrimSpace(want) + "\n"
	if have == want {
		return
	}
	if !*update {
		t.Fatalf("%s: %s is out of date: `make golden` writes it anew\nhave\n%s\nwant\n%s", path, name, have, want)
	}
	if err := os.WriteFile(filepath.Join(root, path), []byte(head+begin+want+end+tail), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestGeneratedSettingsAreThoseOfTheBinary(t *testing.T) {
	out, err := tasklog(t, t.TempDir(), "config", "--markdown")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	generated(t, "README.md", "config", out)
}

func TestEveryVariableThatIsNamedIsASetting(t *testing.T) {
	known := settings(t)
	for _, p := range readPages(t) {
		for _, name := range variable.FindAllString(p.text, -1) {
			if !slices.Contains(known, name) {
				t.Errorf("%s names %s: `tasklog config` does not", p.path, name)
			}
		}
	}
}

var variable = regexp.MustCompile(`TASKLOG_[A-Z][A-Z_]*[A-Z]`)

// settings are the variables that the binary knows.
func settings(t *testing.T) []string {
	t.Helper()
	out, err := tasklog(t, t.TempDir(), "config")
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return variable.FindAllString(out, -1)
}

// bodies has the kinds of bodies that lead to different states. Next looks at nothing else.
var bodies = []events.Data{
	events.TaskRequested{DelayMs: 1},
	events.TaskRequested{},
	events.TaskDue{},
	events.TaskStarted{},
	events.TaskCompleted{},
	events.TaskFailed{RetryAt: 1},
	events.TaskFailed{},
	events.TaskReleased{RetryAt: 1},
	events.TaskReleased{},
	events.TaskCancelled{},
	events.TaskRetryRequested{},
}

// transition is one arrow of the state machine.
type transition struct {
	from, to events.State
	by       events.Type
}

// transitions lists every arrow, in the order of a task's life.
func transitions(t *testing.T) []transition {
	t.Helper()
	var list []transition
	for typ := range events.Transitions {
		if !slices.ContainsFunc(bodies, func(d events.Data) bool { return d.Type() == typ }) {
			t.Errorf("there is no body of a %s here", typ)
		}
	}
	for _, body := range bodies {
		for _, from := range events.Transitions[body.Type()] {
			list = append(list, transition{from, events.Next(body), body.Type()})
		}
	}
	slices.SortStableFunc(list, func(a, b transition) int {
		return cmp.Or(cmp.Compare(slices.Index(events.States, a.from), slices.Index(events.States, b.from)),
			cmp.Compare(slices.Index(events.Types, a.by), slices.Index(events.Types, b.by)))
	})
	return list
}

func TestGeneratedStatesAreThoseOfTheStateMachine(t *testing.T) {
	var drawing, table strings.Builder
	fmt.Fprintln(&drawing, "```mermaid\nstateDiagram-v2")
	fmt.Fprintln(&table, "| state | event | state after it |\n| --- | --- | --- |")
	for _, tr := range transitions(t) {
		from, state := string(tr.from), "`"+string(tr.from)+"`"
		if tr.from == events.StateNone {
			from, state = "[*]", "none"
		}
		fmt.Fprintf(&drawing, "    %s --> %s: %s\n", from, tr.to, tr.by)
		fmt.Fprintf(&table, "| %s | `%s` | `%s` |\n", state, tr.by, tr.to)
	}
	fmt.Fprintln(&drawing, "```")
	generated(t, "docs/states.md", "drawing", drawing.String())
	generated(t, "docs/states.md", "table", table.String())
}

func TestGeneratedInvariantsAreThoseOfTheAudit(t *testing.T) {
	var table strings.Builder
	fmt.Fprintln(&table, "| name | what holds |\n| --- | --- |")
	for _, i := range audit.Invariants() {
		fmt.Fprintf(&table, "| `%s` | %s |\n", i, i.Says())
	}
	generated(t, "docs/reliability.md", "invariants", table.String())
}
