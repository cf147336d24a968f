package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a bench of little work.
func small() bench {
	return bench{tasks: 500, callers: 8, concurrency: 20, window: 500 * time.Millisecond, runs: 1, systems: []system{{us, openTasklog}}}
}

func TestEveryRowMeasuresWhatItIsNamedFor(t *testing.T) {
	rate := []string{"clientMicros", "redisMicros", "tasksPerSec"}
	latency := []string{"earliestMs", "p50Ms", "p99Ms"}
	want := map[string][]string{
		"floor": rate, "enqueue": rate, "bulk": rate, "http": rate, "state": rate,
		"drain": append([]string{"lagMs"}, rate...), "tasks": append([]string{"lagMs"}, rate...), "aof": append([]string{"lagMs"}, rate...),
		"immediate": latency, "immediate-http": latency, "delayed": latency,
		"waiting": {"bytes"}, "kept": {"bytes"},
		"idle":   {"clientPercent", "commandsPerSec", "redisPercent"},
		"deep":   {"ratio", "tasksPerSec"},
		"due":    {"longestScriptMs", "lost", "outOfOrder", "tasksPerSec"},
		"replay": append([]string{"eventsPerSec", "peakHeapMiB"}, rate...),
	}
	for _, r := range small().rows() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			b := small()
			lines, err := b.measure(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			names := want[r.kind]
			slices.Sort(names)
			if len(lines) != 1 || !slices.Equal(slices.Sorted(maps.Keys(lines[0].Median)), names) {
				t.Fatalf("%+v, want %q", lines, names)
			}
			for name, v := range lines[0].Median {
				mayBeNone := slices.Contains([]string{"commandsPerSec", "lagMs", "longestScriptMs", "lost", "outOfOrder", "redisPercent", "clientPercent"}, name)
				if v < 0 || v == 0 && !mayBeNone {
					t.Errorf("%s is %g", name, v)
				}
			}
		})
	}
}

func TestEveryGoalIsOfARowAndAFigure(t *testing.T) {
	for _, g := range goals {
		if !slices.ContainsFunc(small().rows(), func(r row) bool { return r.kind == g.row }) {
			t.Errorf("no row is of the kind %s", g.row)
		}
		if !slices.ContainsFunc(known, func(f figure) bool { return f.name == g.figure }) {
			t.Errorf("there is no figure %s", g.figure)
		}
	}
}

func TestAGoalIsJudgedByTheMedianAndByThePeerOfTheSameRun(t *testing.T) {
	rows := []row{{kind: "tasks", name: "end to end"}}
	lines := []line{
		sum("end to end", us, []figures{{"tasksPerSec": 90, "redisMicros": 31}, {"tasksPerSec": 50, "redisMicros": 29}, {"tasksPerSec": 51, "redisMicros": 40}}),
		sum("end to end", "bullmq", []figures{{"tasksPerSec": 20}}),
	}
	text := judge(rows, lines).RenderMarkdown()
	for _, want := range []string{
		"| end to end | tasks/s ≥ 2.5 × bullmq | 2.55 × | yes |",
		"| end to end | Redis µs ≤ 30 | 31.0 | no |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s\nwant %s", text, want)
		}
	}
	if n := strings.Count(text, "\n"); n != 3 {
		t.Errorf("%d lines, want the head and two goals: of the others nothing was measured\n%s", n+1, text)
	}
	if best := lines[0].Best; best["tasksPerSec"] != 90 || best["redisMicros"] != 29 {
		t.Errorf("the best are %v", best)
	}
	data, err := json.Marshal(lines[1])
	if want := `{"best":{"tasksPerSec":20},"name":"end to end","runs":1,"side":"bullmq","tasksPerSec":20}`; err != nil || string(data) != want {
		t.Errorf("%s, %v, want %s", data, err, want)
	}
}

// fake writes the program of a peer that answers every order so.
func fake(t *testing.T, answer string) system {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peer")
	script := "#!/bin/sh\nwhile read -r _; do echo '" + answer + "'; done\n"
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil { //nolint:gosec // it must run
		t.Fatal(err)
	}
	s, err := newSystem("other=" + path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOneEarlyTaskInOneRunIsTold(t *testing.T) {
	l := sum("delayed", us, []figures{{"earliestMs": 0.5}, {"earliestMs": -0.1}, {"earliestMs": 0.6}})
	if v := l.Median["earliestMs"]; v != -0.1 {
		t.Errorf("the earliest came %g ms after its time, want -0.1", v)
	}
}

func TestAPeerIsMeasuredInTurnsWithTasklog(t *testing.T) {
	b := small()
	b.systems = append(b.systems, fake(t, `{}`))
	rows := b.rows()
	lines, err := b.measure(t.Context(), rows[slices.IndexFunc(rows, func(r row) bool { return r.kind == "tasks" })])
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || lines[0].Side != us || lines[1].Side != "other" || lines[1].Median["tasksPerSec"] <= 0 {
		t.Errorf("%+v", lines)
	}
}

func TestWhatAPeerDoesNotHaveIsLeftOut(t *testing.T) {
	b := small()
	b.systems = append(b.systems, fake(t, `{"none":true}`))
	rows := b.rows()
	lines, err := b.measure(t.Context(), rows[slices.IndexFunc(rows, func(r row) bool { return r.kind == "bulk" })])
	if err != nil || len(lines) != 1 || lines[0].Side != us {
		t.Errorf("%+v, %v", lines, err)
	}
}

func TestWhatIsWrongWithAPeerIsSaidWithItsName(t *testing.T) {
	for _, answer := range []string{`{"error":"no Redis"}`, `no JSON`} {
		b := small()
		b.systems = append(b.systems, fake(t, answer))
		_, err := b.measure(t.Context(), row{kind: "enqueue", run: b.enqueue})
		if err == nil || !strings.Contains(err.Error(), "other: enqueue: ") {
			t.Errorf("%s: %v", answer, err)
		}
	}
	if _, err := newSystem("other"); err == nil {
		t.Error("a peer without a command is taken")
	}
}

func TestFlagsThatMeasureNothingAreRefused(t *testing.T) {
	for _, wrong := range []func(*bench){
		func(b *bench) { b.tasks = 0 },
		func(b *bench) { b.runs = 0 },
		func(b *bench) { b.window = 0 },
		func(b *bench) { b.only = []string{"tasks", "nothing"} },
	} {
		b := small()
		if err := b.check(); err != nil {
			t.Fatal(err)
		}
		if wrong(&b); b.check() == nil {
			t.Errorf("%+v is taken", b)
		}
	}
}

func TestAPageGetsTheTablesBetweenItsMarkers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte("a\n<!-- measured: goals -->\nold\n<!-- end -->\nz\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := writeInto(path, "goals", "new"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if want := "a\n<!-- measured: goals -->\nnew\n<!-- end -->\nz\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
	if err := writeInto(path, "figures", "new"); err == nil {
		t.Error("markers that are not there are not missed")
	}
}

func TestThePerformancePageHasAPlaceForAllThatIsMeasured(t *testing.T) {
	page, err := os.ReadFile("../../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	b := small()
	b.only, b.page = []string{"floor"}, filepath.Join(t.TempDir(), "page.md")
	empty := regexp.MustCompile(`(?s)(<!-- measured: \w+ -->\n).*?(<!-- end -->)`).ReplaceAll(page, []byte("$1$2"))
	if err := os.WriteFile(b.page, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.all(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(b.page)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{" cores (", "| floor: plain commands | tasklog |", "| evalsha |", "Total samples"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
}
