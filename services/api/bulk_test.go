package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api"
)

const ndjson = "application/x-ndjson"

// lineAnswer is what is answered to a line.
type lineAnswer struct {
	Line      int
	TaskID    string
	State     string
	EventID   string
	Duplicate bool

	Type, Detail, Field string
	Status              int
}

// bulk asks for lines, and returns the answers of a request that is answered with status 200.
func (h *house) bulk(lines ...string) []lineAnswer {
	h.Helper()
	r := h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/bulk", strings.Join(lines, "\n"), "Content-Type", ndjson))
	if got := r.header.Get("Content-Type"); got != ndjson {
		h.Errorf("Content-Type %s", got)
	}
	return answersOf(h.T, r.body)
}

func answersOf(t *testing.T, text string) (list []lineAnswer) {
	t.Helper()
	for line := range strings.Lines(text) {
		var a lineAnswer
		parse(t, line, &a)
		list = append(list, a)
	}
	return list
}

// requested returns the tasks in the log, in order.
func (h *house) requested() (tasks []string) {
	h.Helper()
	for after := (events.ID{}); ; {
		entries, err := h.log.Range(h.Context(), h.log.Partitions()[0], after, events.MaxID, 10_000)
		if err != nil {
			h.Fatal(err)
		}
		if len(entries) == 0 {
			return tasks
		}
		for _, e := range entries {
			tasks = append(tasks, e.Task)
		}
		after = entries[len(entries)-1].ID
	}
}

func TestEachLineIsAnsweredAndABadOneFailsAlone(t *testing.T) {
	h := build(t, api.Config{}, 1)
	long := `{"taskName":"t","payload":"` + strings.Repeat("x", 3<<20) + `"}`
	answers := h.bulk(
		`{"taskName":"t","customJobId":"a"}`,
		`{"taskName":"t","priority":-1}`,
		"",
		"taskName=t",
		long,
		`{"taskName":"t","customJobId":"b","payload":"`+strings.Repeat("x", 1<<20-2)+`"}`,
		" \t\r",
		`{"taskName":"t","customJobId":"a"}`+"\r",
		`  {"taskName":"t","customJobId":"c"}  `,
		"\u00a0",
		`{"taskName":"t","delayMs":60000}`, // and no end of the line
	)
	want := []lineAnswer{
		{Line: 1, TaskID: "a", State: "waiting"},
		{Line: 2, Status: 422, Field: "priority"},
		{Line: 4, Status: 400},
		{Line: 5, Status: 413},
		{Line: 6, TaskID: "b", State: "waiting"},
		{Line: 8, TaskID: "a", State: "waiting", Duplicate: true},
		{Line: 9, TaskID: "c", State: "waiting"},
		{Line: 10, Status: 400},
		{Line: 11, State: "delayed"},
	}
	if len(answers) != len(want) {
		t.Fatalf("%d answers, want %d: %+v", len(answers), len(want), answers)
	}
	for i, a := range answers {
		if a.Status == 0 && a.EventID == "" || a.Status != 0 && (a.Type == "" || a.Detail == "") {
			t.Errorf("neither a receipt nor a problem: %+v", a)
		}
		a.EventID, a.Type, a.Detail = "", "", ""
		if i == len(want)-1 {
			a.TaskID = ""
		}
		if a != want[i] {
			t.Errorf("answer %+v, want %+v", a, want[i])
		}
	}
	if got := h.requested(); len(got) != 4 || !slices.Equal(got[:3], []string{"a", "b", "c"}) {
		t.Errorf("the log holds %v", got)
	}
	if list := h.bulk(); len(list) != 0 {
		t.Errorf("nothing is answered %v", list)
	}
}

// What is wrong with a request is wrong with the line and with the element of an array, and said as there.
func TestALineIsJudgedAsARequestIs(t *testing.T) {
	h := build(t, api.Config{}, 1)
	var lines, elements []string
	var ofLines, ofElements []badRequest
	for _, tt := range badRequests() {
		if strings.TrimSpace(tt.body) == "" || strings.Contains(tt.body, "\n") {
			continue
		}
		lines, ofLines = append(lines, tt.body), append(ofLines, tt)
		if utf8.ValidString(tt.body) && json.Valid([]byte(tt.body)) && len(tt.body) < 1<<20 {
			elements, ofElements = append(elements, tt.body), append(ofElements, tt)
		}
	}
	array := "[" + strings.Join(elements, ",\n") + "]"
	r := h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/bulk", array))
	var fromArray []lineAnswer
	parse(t, r.body, &fromArray)
	check := func(kind string, list []lineAnswer, of []badRequest) {
		t.Helper()
		if len(list) != len(of) {
			t.Fatalf("%s: %d answers to %d", kind, len(list), len(of))
		}
		for i, a := range list {
			if a.Line != i+1 || a.Status != of[i].status || a.Field != of[i].field {
				t.Errorf("%s: %s: %+v", kind, of[i].name, a)
			}
		}
	}
	check("lines", h.bulk(lines...), ofLines)
	check("array", fromArray, ofElements)
	if n := h.length(); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestAnArrayIsAnsweredWithAnArray(t *testing.T) {
	h := build(t, api.Config{}, 1)
	r := h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/bulk", ` [ {"taskName":"t","customJobId":"a","payload":[1,{"b":[]}]}, 7 ,
		{"taskName":"t","customJobId":"b"}, {"taskName":"","customJobId":"c"}] `))
	var list []lineAnswer
	parse(t, r.body, &list)
	if len(list) != 4 || list[0].TaskID != "a" || list[1].Status != 400 || list[1].Line != 2 || list[2].TaskID != "b" || list[3].Field != "taskName" {
		t.Errorf("answered %s", r.body)
	}
	if got := h.requested(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("the log holds %v", got)
	}
	if r := h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/bulk", "[]")); r.body != "[]\n" {
		t.Errorf("nothing is answered %q", r.body)
	}
	for body, status := range map[string]int{
		`{"taskName":"t"}`: 400, `[{"taskName":"t"},]`: 400, `[{"taskName":"t"}`: 400, "[{\"taskName\":\"\xff\"}]": 400, "null": 400, " ": 400,
		"[" + strings.Repeat(" ", 17<<20) + "]": 413,
	} {
		isProblem(t, h.do(http.MethodPost, "/api/tasks/bulk", body, "Content-Type", "application/json"), status)
	}
	for _, header := range [][]string{{"Content-Type", "text/plain"}, {"Content-Type", ndjson, "Content-Encoding", "gzip"}} {
		isProblem(t, h.do(http.MethodPost, "/api/tasks/bulk", "[]", header...), http.StatusUnsupportedMediaType)
	}
	if n := h.length(); n != 2 {
		t.Errorf("%d events", n)
	}
}

func TestEveryLineHasTheTraceOfItsRequest(t *testing.T) {
	h := build(t, api.Config{}, 1)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/bulk", `{"taskName":"t","customJobId":"a"}`, "Content-Type", ndjson, "Traceparent", trace))
	if task, err := h.log.Task(t.Context(), "a"); err != nil || task.Traceparent != trace {
		t.Errorf("%+v, %v", task, err)
	}
}

// talk is a bulk whose lines are sent one by one.
type talk struct {
	*house
	lines   *io.PipeWriter
	answers *bufio.Reader
	close   func()
}

// talk begins a bulk with one line, and returns when that is answered.
func (h *house) talk(first string) *talk {
	h.Helper()
	body, lines := io.Pipe()
	req, err := http.NewRequestWithContext(h.Context(), http.MethodPost, h.base+"/api/tasks/bulk", body)
	if err != nil {
		h.Fatal(err)
	}
	req.Header.Set("Content-Type", ndjson)
	go func() { _, _ = io.WriteString(lines, first+"\n") }()
	resp, err := h.client.Do(req) //nolint:bodyclose // close does
	if err != nil {
		h.Fatal(err)
	}
	t := &talk{house: h, lines: lines, answers: bufio.NewReader(resp.Body), close: func() {
		_ = lines.Close()
		_ = resp.Body.Close()
	}}
	h.Cleanup(t.close)
	t.hear()
	return t
}

func (t *talk) say(line string) {
	t.Helper()
	if _, err := io.WriteString(t.lines, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func (t *talk) hear() (a lineAnswer) {
	t.Helper()
	line, err := t.answers.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	parse(t, line, &a)
	return a
}

func TestALineIsAnsweredWhileTheNextOneIsNotSent(t *testing.T) {
	h := build(t, api.Config{}, 1)
	s := h.talk(`{"taskName":"t"}`)
	for i := range 20 {
		s.say(fmt.Sprintf(`{"taskName":"t","customJobId":"t%d"}`, i))
		if a := s.hear(); a.Line != i+2 || a.TaskID != fmt.Sprint("t", i) {
			t.Fatalf("%+v", a)
		}
	}
	_ = s.lines.Close()
	if rest, err := io.ReadAll(s.answers); err != nil || len(rest) > 0 {
		t.Errorf("afterwards: %q, %v", rest, err)
	}
}

func TestWhenRedisGoesInTheMiddleEachLineThatIsLeftSaysSo(t *testing.T) {
	h := build(t, api.Config{}, 1)
	s := h.talk(`{"taskName":"t","customJobId":"first"}`)
	h.redis.Kill()
	const n = 3000
	go func() {
		for i := range n {
			_, _ = fmt.Fprintf(s.lines, `{"taskName":"t","customJobId":"t%d"}`+"\n", i)
		}
		_, _ = io.WriteString(s.lines, `{"taskName":"t","priority":-1}`+"\n")
		_ = s.lines.Close()
	}()
	for i := range n {
		if a := s.hear(); a.Status != http.StatusServiceUnavailable || a.Line != i+2 || a.Type != "urn:tasklog:problem:unavailable" {
			t.Fatalf("%+v", a)
		}
	}
	if a := s.hear(); a.Status != http.StatusUnprocessableEntity {
		t.Errorf("a line that is wrong: %+v", a)
	}
	if strings.Count(h.slog.String(), "lines of a bulk failed") != 1 {
		t.Errorf("logged %s", h.slog)
	}
	h.redis.Restart(t) // it had saved nothing
	h.until("it takes tasks again", func() bool { return h.bulk(`{"taskName":"t","customJobId":"t0"}`)[0].TaskID == "t0" })
}

func TestAFullRedisTakesNoLine(t *testing.T) {
	h := build(t, api.Config{}, 1)
	used, err := h.log.Conn().Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.redis.Set(t, "maxmemory", fmt.Sprint(used[0].Memory*10/9))
	for _, a := range h.bulk(`{"taskName":"t"}`, `{"taskName":"t"}`) {
		if a.Type != "urn:tasklog:problem:full" || a.Status != http.StatusServiceUnavailable {
			t.Errorf("%+v", a)
		}
	}
	if n := h.length(); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestAServiceThatStopsSaysWhichLinesItTook(t *testing.T) {
	h := build(t, api.Config{}, 1)
	s := h.talk(`{"taskName":"t","customJobId":"a"}`)
	s.say(`{"taskName":"t","customJobId":"b"}`)
	if a := s.hear(); a.TaskID != "b" {
		t.Errorf("%+v", a)
	}
	began := time.Now()
	if err := h.shutdown(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if a := s.hear(); a.Line != 3 || a.Status != http.StatusServiceUnavailable || !strings.Contains(a.Detail, "send them again") {
		t.Errorf("%+v", a)
	}
	if rest, err := io.ReadAll(s.answers); err != nil || len(rest) > 0 {
		t.Errorf("afterwards: %q, %v", rest, err)
	}
}
