package docs_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/webhook"
)

// steady takes out of an output what differs from run to run.
func steady(out string) string {
	for _, r := range []struct{ pattern, with string }{
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`, "TIME"},
		{`\b\d{13}-\d+\b`, "ID"},
		{`\b\d{13}\b`, "MS"},
		{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "UUID"},
		{`(worker\\?":\\?")[^"\\]+`, "${1}WORKER"},
		{`(?m)^(worker +)\S+$`, "${1}WORKER"},
		{`by \S+,`, "by WORKER,"},
		{`(token\\?":\\?")[^"\\]+`, "${1}TOKEN"},
		{`((wait|run)Ms\\?":)\d+`, "${1}N"},
		{`(waited|ran) \d+ ms`, "${1} N ms"},
		{`(?m)^.*\(stdin\)= `, ""}, // openssl's versions differ
	} {
		out = regexp.MustCompile(r.pattern).ReplaceAllString(out, r.with)
	}
	return strings.TrimSpace(out)
}

// makeBlock matches a block of one make command, perhaps with arguments for what it runs.
var makeBlock = regexp.MustCompile(`^make ([a-z-]+)(?: ARGS=('[^']*'|\S+))?\n$`)

// elsewhere matches a block of commands that only make sense outside of a test: what they name is
// checked, not run.
var elsewhere = regexp.MustCompile(`^(docker compose (up|down|stop|ps|logs|pull)\b.*\n)+$`)

// runsOn matches the examples that run until they are told to stop.
var runsOn = regexp.MustCompile(`docs/examples/(worker|view)\n`)

// asks matches commands that change something: they run once.
var asks = regexp.MustCompile(`curl .*\s-d |enqueue|examples/client`)

// TestEveryShellBlockDoesWhatThePageSays runs each page as a newcomer would: in a folder of its own, one
// block after the other. A block after a shell block that is text or JSON is what that prints; a block
// that only looks runs again until it does, for what it shows may be about to happen.
func TestEveryShellBlockDoesWhatThePageSays(t *testing.T) {
	for _, p := range readPages(t) {
		if !slices.ContainsFunc(p.blocks, func(b block) bool { return b.lang == "sh" }) {
			continue
		}
		t.Run(p.path, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			if p.path != "README.md" {
				h.dev(t)
				if out, err := tasklog(t, h.dir, "enqueue", "echo", "--id", "unique-id-123", "--wait"); err != nil {
					t.Fatalf("%s, %v", out, err)
				}
			}
			for i, b := range p.blocks {
				var want string
				if i+1 < len(p.blocks) && slices.Contains([]string{"text", "json"}, p.blocks[i+1].lang) {
					want = p.blocks[i+1].text
				}
				if b.lang == "sh" {
					h.follow(t, b, want)
				}
			}
		})
	}
}

// follow does what one block says, and compares its output if want says what that is.
func (h *house) follow(t *testing.T, b block, want string) {
	t.Helper()
	if m := makeBlock.FindStringSubmatch(b.text); m != nil {
		if out, err := exec.CommandContext(t.Context(), "make", "-C", root, "-n", m[1]).CombinedOutput(); err != nil {
			t.Errorf("line %d: make %s: %v: %s", b.line, m[1], err, out)
		}
		if m[1] == "run" {
			h.dev(t, strings.Fields(m[2])...)
		}
		return
	}
	if elsewhere.MatchString(b.text) {
		return // see TestEveryComposeCommandNamesServices
	}
	if m := runsOn.FindStringSubmatch(b.text); m != nil {
		h.start(t, []string{"TASKLOG_REDIS_URL=" + h.redisURL(t)}, "bin/"+m[1])
		return
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		out, err := h.run(t, b.text)
		if err != nil {
			t.Errorf("line %d: %s\n%v\n%s", b.line, b.text, err, out)
			return
		}
		if want == "" || steady(out) == steady(want) {
			return
		}
		if asks.MatchString(strings.ReplaceAll(b.text, "\\\n", "")) || time.Now().After(deadline) {
			t.Errorf("line %d: %s\nprints\n%s\nwant\n%s", b.line, b.text, steady(out), steady(want))
			return
		}
	}
}

// call matches a command of ours in a text, with what follows it.
var call = regexp.MustCompile("(?:`|^|/)tasklog ([a-z]+)([^`\\n]*)")

var longFlag = regexp.MustCompile(`\s(--[a-z][a-z-]*)`)

func TestEveryCommandThatIsNamedExistsWithItsFlags(t *testing.T) {
	n := 0
	for _, p := range readPages(t) {
		for _, m := range call.FindAllStringSubmatch(p.text, -1) {
			n++
			help, err := tasklog(t, t.TempDir(), m[1], "--help")
			if err != nil || !strings.Contains(help, "tasklog "+m[1]) {
				t.Errorf("%s: there is no command %s: %v", p.path, m[1], err)
			}
			for _, f := range longFlag.FindAllStringSubmatch(m[2], -1) {
				if !strings.Contains(help, " "+f[1]+" ") && !strings.Contains(help, " "+f[1]+"\n") {
					t.Errorf("%s: tasklog %s has no flag %s", p.path, m[1], f[1])
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("%d commands are named, want more", n)
	}
}

func TestTheSignatureOfTheReadmeIsTheOneThatWorkersMake(t *testing.T) {
	readme := read(t, "README.md")
	m := regexp.MustCompile(`t=(\d+) body='([^']+)' secret=(\S+)`).FindStringSubmatch(readme)
	sum := regexp.MustCompile(`\(stdin\)= ([0-9a-f]{64})`).FindStringSubmatch(readme)
	if m == nil || sum == nil {
		t.Fatal("the README shows no signature")
	}
	at := time.Unix(1764000000, 0)
	if err := webhook.Verify(m[3], "t="+m[1]+",v1="+sum[1], []byte(m[2]), at, time.Minute); err != nil {
		t.Errorf("%v; it is %s", err, webhook.Sign(m[3], at, []byte(m[2])))
	}
}

// request matches a route in the first column of the README's table.
var request = regexp.MustCompile("`(GET|POST) (/[^`?]*)[^`]*`")

// routeOf matches a route in the code of the API.
var routeOf = regexp.MustCompile(`(?m)^\s*(?:(?:r|operate)\.(GET|POST)|(get))\((?:[a-z]+, )?"(/(?:api|healthz|readyz|metrics)[^"]*)"`)

func TestTheTableOfTheAPIHasEveryRoute(t *testing.T) {
	var have, want []string
	for line := range strings.Lines(read(t, "README.md")) {
		if strings.HasPrefix(line, "| `") {
			for _, m := range request.FindAllStringSubmatch(line, -1) {
				have = append(have, m[1]+" "+m[2])
			}
		}
	}
	code := strings.NewReplacer("(streamRoute,", `("/api/events",`, "(bulkRoute,", `("/api/tasks/bulk",`).Replace(read(t, "services/api/routes.go"))
	for _, m := range routeOf.FindAllStringSubmatch(code, -1) {
		method := m[1]
		if m[2] != "" {
			method = "GET"
		}
		want = append(want, method+" "+m[3])
	}
	slices.Sort(have)
	slices.Sort(want)
	have = slices.Compact(have) // a route may have a row for each thing that it can do
	if !slices.Equal(have, want) || len(want) < 10 {
		t.Errorf("the table has\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func TestTheTableOfFieldsHasEveryField(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.dev(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.addr+"/api/tasks", strings.NewReader(`{"no":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	var problem struct {
		Errors []struct {
			Reason string `json:"reason"`
		} `json:"errors"`
	}
	if err != nil || json.Unmarshal(body, &problem) != nil || len(problem.Errors) == 0 {
		t.Fatalf("%s, %v", body, err)
	}
	_, known, _ := strings.Cut(problem.Errors[0].Reason, "known are: ")
	want := strings.Split(known, ", ")
	_, rest, _ := strings.Cut(read(t, "README.md"), "| field | default | meaning |")
	table, _, _ := strings.Cut(rest, "\n\n")
	var have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-zA-Z]+)`").FindAllStringSubmatch(table, -1) {
		have = append(have, m[1])
	}
	slices.Sort(have)
	slices.Sort(want)
	if !slices.Equal(have, want) {
		t.Errorf("the table has %v, want %v", have, want)
	}
}
