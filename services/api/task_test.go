package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api"
)

// detail is the part of GET /api/tasks/:id that tests look at.
type detail struct {
	State, Error, Reason, Worker    string
	Attempt, Attempts, MaxAttempts  int
	Payload, Result                 json.RawMessage
	CreatedAt, UpdatedAt, DueAt     string
	TaskID, TaskName, Queue, Detail string
	Events                          []struct {
		EventID, Type, Task, At string
		V                       int
		Data                    json.RawMessage
	}
}

func (h *house) detail(id string) (d detail) {
	h.Helper()
	parse(h, h.must(http.StatusOK, h.get("/api/tasks/"+id)).body, &d)
	return d
}

func (d detail) types() (types []string) {
	for _, e := range d.Events {
		types = append(types, e.Type)
	}
	return types
}

func TestATaskTellsItsStateAndEveryEvent(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(`{"taskName":"send","customJobId":"a","payload":[1]}`))
	a := h.start("default", "a")
	if _, err := h.log.Complete(t.Context(), a, 5*time.Millisecond, json.RawMessage(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	d := h.detail("a")
	if want := []string{"TaskRequested", "TaskDue", "TaskStarted", "TaskCompleted"}; !slices.Equal(d.types(), want) {
		t.Fatalf("events %v, want %v", d.types(), want)
	}
	if d.State != "completed" || d.TaskName != "send" || d.Queue != "default" || d.Attempt != 1 || d.Attempts != 1 ||
		d.MaxAttempts != 5 || string(d.Result) != `{"n":1}` || string(d.Payload) != `[1]` || d.Worker != "w" || d.Error != "" {
		t.Errorf("task = %+v", d)
	}
	for i, e := range d.Events {
		id, err := events.ParseID(e.EventID)
		at, timeErr := time.Parse(time.RFC3339, e.At)
		if err := errors.Join(err, timeErr); err != nil || !at.Equal(id.Time()) || e.V != 1 || e.Task != "a" {
			t.Errorf("event %d = %+v, %v", i, e, err)
		}
	}
	if d.CreatedAt != d.Events[0].At || d.UpdatedAt != d.Events[3].At {
		t.Errorf("from %s to %s, want the times of the first and the last event", d.CreatedAt, d.UpdatedAt)
	}
}

func TestATaskWhoseEventsLeftRedisSaysSoAndTellsOnlyWhatIsKnown(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.project()
	h.must(http.StatusAccepted, h.post(`{"taskName":"send","customJobId":"a","payload":[1]}`))
	end, err := h.log.Complete(t.Context(), h.start("default", "a"), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := h.must(http.StatusOK, h.get("/api/tasks/a")).body
	page := h.must(http.StatusOK, h.get("/admin/tasks/a")).body
	if strings.Contains(whole, "trimmed") || strings.Contains(page, "in Redis no more") || !strings.Contains(page, `id="payload"`) {
		t.Errorf("nothing has left Redis, and the task is %s", whole)
	}
	h.must(http.StatusAccepted, h.post(`{"taskName":"send"}`)) // the newest entry stays
	h.viewed()
	if held, err := h.log.Trim(t.Context(), h.log.Of("a"), end.Event); err != nil || held != nil {
		t.Fatalf("%+v, %v", held, err)
	}

	var got map[string]any
	parse(t, h.must(http.StatusOK, h.get("/api/tasks/a")).body, &got)
	for _, unknown := range []string{"payload", "maxAttempts", "backoff", "result"} {
		if v, told := got[unknown]; told {
			t.Errorf("%s is told as %v", unknown, v)
		}
	}
	if list, _ := got["events"].([]any); got["trimmed"] != true || list == nil || len(list) > 0 || got["state"] != "completed" {
		t.Errorf("the task is %v", got)
	}
	page = h.must(http.StatusOK, h.get("/admin/tasks/a")).body
	if !strings.Contains(page, "4 events of this task are in Redis no more") || strings.Contains(page, `id="payload"`) || strings.Contains(page, "backoff") {
		t.Errorf("the page is %s", page)
	}
	isProblem(t, h.get("/api/tasks/a?at=now"), http.StatusGone)
	gone := h.get("/api/tasks/b?at=now")
	isProblem(t, gone, http.StatusNotFound)
	if why := gone.field(t, "detail"); !strings.Contains(why, "among the 4 entries that were removed") {
		t.Errorf("of a task that may have been there is said: %s", why)
	}
}

func TestAFailedTaskTellsWhyAndCanBeRetried(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(`{"taskName":"send","customJobId":"a"}`))
	a := h.start("default", "a")
	isProblem(t, h.do(http.MethodPost, "/api/tasks/a/retry", ""), http.StatusConflict)
	if _, err := h.log.Fail(t.Context(), a, time.Millisecond, events.ReasonRejected, "no <such> address", nil); err != nil {
		t.Fatal(err)
	}
	if d := h.detail("a"); d.State != "failed" || d.Error != "no <such> address" || d.Reason != "rejected" {
		t.Errorf("task = %+v", d)
	}
	for _, path := range []string{"/api/tasks?state=failed", "/api/tasks?at=now", "/api/tasks/a"} {
		if got := h.must(http.StatusOK, h.get(path)).body; strings.Count(got, `"error":"no <such> address"`) == 0 {
			t.Errorf("%s tells no error: %s", path, got)
		}
	}
	for _, path := range []string{"/admin/tasks", "/admin/past?at=now"} {
		if got := h.must(http.StatusOK, h.get(path)).body; !strings.Contains(got, `<td data-label="error" class="quiet">no &lt;such&gt; address</td>`) {
			t.Errorf("%s tells no error: %s", path, got)
		}
	}
	isProblem(t, h.do(http.MethodPost, "/api/tasks/a/cancel", ""), http.StatusConflict)
	r := h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/a/retry", ""))
	if r.field(t, "state") != "waiting" || r.field(t, "eventId") == "" {
		t.Errorf("retry answers %s", r.body)
	}
	if d := h.detail("a"); d.Error != "" || d.Attempts != 0 || d.Attempt != 1 || !slices.Contains(d.types(), "TaskRetryRequested") {
		t.Errorf("task = %+v", d)
	}

	b := h.start("default", "a")
	if _, err := h.log.Fail(t.Context(), b, 0, events.ReasonError, "again", nil); err != nil {
		t.Fatal(err)
	}
	// A retry of a client that asks a second time is a second retry, not a repeat of the first.
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/a/retry", `{}`))
	if n := strings.Count(strings.Join(h.detail("a").types(), " "), "TaskRetryRequested"); n != 2 {
		t.Errorf("%d retries, want 2", n)
	}
}

func TestACancelledTaskStaysCancelled(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(seed))
	path := "/api/tasks/unique-id-123/cancel"
	for range 2 {
		r := h.must(http.StatusOK, h.do(http.MethodPost, path, `{"reason":"not wanted"}`))
		if r.field(t, "state") != "cancelled" {
			t.Errorf("cancel answers %s", r.body)
		}
	}
	if d := h.detail("unique-id-123"); d.State != "cancelled" || d.Error != "not wanted" || len(d.Events) != 2 {
		t.Errorf("task = %+v", d)
	}
	if page := h.must(http.StatusOK, h.get("/admin/tasks/unique-id-123")).body; !strings.Contains(page, "<h2>Reason</h2>") {
		t.Errorf("the page of the task tells no reason: %s", page)
	}
	for _, body := range []string{`{"reason":1}`, `{"why":"x"}`, `{"reason":"` + strings.Repeat("x", 5000) + `"}`} {
		isProblem(t, h.do(http.MethodPost, path, body), http.StatusUnprocessableEntity)
	}
	for _, body := range []string{`"x"`, `{`, `nonsense`} {
		isProblem(t, h.do(http.MethodPost, path, body), http.StatusBadRequest)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, path := range []string{"/api/tasks/none", "/api/tasks/%7Bx%7D", "/api/tasks/a%00b", "/api/tasks/%ff", "/api/tasks/", "/api", "/api/tasks/a/b", "/admin/other", "/admin/assets/../api.go", "/admin/assets/none.css"} {
		isProblem(t, h.get(path), http.StatusNotFound)
	}
	for _, path := range []string{"/api/tasks/none/retry", "/api/tasks/none/cancel", "/api/queues/a/b/pause"} {
		isProblem(t, h.do(http.MethodPost, path, ""), http.StatusNotFound)
	}
	if n := h.length(); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestAnotherMethodIsRefusedWithThoseThereAre(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, tt := range []struct{ method, path, allow string }{
		{"DELETE", "/api/tasks", "POST, GET, HEAD"},
		{"GET", "/api/tasks/a/retry", "POST"},
		{"GET", "/api/queues/a/pause", "POST"},
		{"POST", "/admin/queues", "GET, HEAD"},
		{"PUT", "/api/events", "GET"},
	} {
		r := h.do(tt.method, tt.path, "")
		isProblem(t, r, http.StatusMethodNotAllowed)
		got, want := strings.Split(r.header.Get("Allow"), ", "), strings.Split(tt.allow, ", ")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s %s: Allow %v, want %v", tt.method, tt.path, got, want)
		}
	}
}

func TestAQueueIsPausedAndResumed(t *testing.T) {
	h := build(t, api.Config{}, 2)
	for _, tt := range []struct{ path, want string }{
		{"/api/queues/mail%2Feu/pause", `{"queue":"mail/eu","paused":true,"changed":true,"new":true}`},
		{"/api/queues/mail%2Feu/pause", `{"queue":"mail/eu","paused":true,"changed":false}`},
		{"/api/queues/mail%2Feu/resume", `{"queue":"mail/eu","paused":false,"changed":true}`},
	} {
		if r := h.must(http.StatusOK, h.do(http.MethodPost, tt.path, "")); strings.TrimSpace(r.body) != tt.want {
			t.Errorf("%s answers %s, want %s", tt.path, r.body, tt.want)
		}
	}
	isProblem(t, h.do(http.MethodPost, "/api/queues/%7Ba%7D/pause", ""), http.StatusUnprocessableEntity)
}

func TestAMistypedQueueIsCalledNewAndGoneFromListsWhenItIsResumed(t *testing.T) {
	h := build(t, api.Config{}, 2)
	h.project()
	for _, queue := range []string{"a", "b", "c", "d"} { // each in one of the partitions
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"n","queue":%q}`, queue)))
	}
	listed := func() bool {
		h.viewed()
		now := h.must(http.StatusOK, h.get("/api/queues")).body
		then := h.must(http.StatusOK, h.get("/api/queues?at="+h.later().String())).body
		in := strings.Contains(now, `"mial"`)
		if in != strings.Contains(then, `"mial"`) || !strings.Contains(now, `"queue":"d"`) {
			t.Errorf("now %s, and as of now %s", now, then)
		}
		return in
	}
	for _, tt := range []struct {
		path, want string
		listed     bool
	}{
		{"a/pause", `{"queue":"a","paused":true,"changed":true}`, false},
		{"d/pause", `{"queue":"d","paused":true,"changed":true}`, false},
		{"mial/resume", `{"queue":"mial","paused":false,"changed":false,"new":true}`, false},
		{"mial/pause", `{"queue":"mial","paused":true,"changed":true,"new":true}`, true},
		{"mial/resume", `{"queue":"mial","paused":false,"changed":true}`, false},
	} {
		if r := h.must(http.StatusOK, h.do(http.MethodPost, "/api/queues/"+tt.path, "")); strings.TrimSpace(r.body) != tt.want {
			t.Errorf("%s answers %s, want %s", tt.path, r.body, tt.want)
		}
		if got := listed(); got != tt.listed {
			t.Errorf("after %s: it is listed: %t", tt.path, got)
		}
	}
}

func TestAnotherSiteCannotAct(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Origin", "https://evil.example"},
	} {
		isProblem(t, h.do(http.MethodPost, "/api/tasks", seed, header...), http.StatusForbidden)
		isProblem(t, h.do(http.MethodPost, "/api/queues/default/pause", "", header...), http.StatusForbidden)
	}
	h.must(http.StatusAccepted, h.do(http.MethodPost, "/api/tasks", seed, "Origin", h.base, "Sec-Fetch-Site", "same-origin"))
	if n := h.length(); n != 1 {
		t.Errorf("%d events, want the last one only", n)
	}
}

func TestAForeignNameDoesNotReachLoopback(t *testing.T) {
	h := build(t, api.Config{Hosts: []string{"tasks.example.com"}}, 1)
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:3000": 200, "tasklog.localhost": 200, "127.0.0.1:80": 200, "[::1]:3000": 200, "::1": 200,
		"tasks.example.com": 200, "tasks.example.com:443": 200, "evil.example": 403, "evil.example:3000": 403, "localhost.evil.example": 403,
	} {
		r := h.do(http.MethodGet, "/healthz", "", "Host", host)
		if r.status != want {
			t.Errorf("Host %s: status %d, want %d", host, r.status, want)
		}
	}
	isProblem(t, h.do(http.MethodPost, "/api/tasks", seed, "Host", "evil.example", "Origin", "http://evil.example"), http.StatusForbidden)
	if n := h.length(); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestEveryAnswerBoundsTheBrowser(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, path := range []string{"/admin/queues", "/api/tasks/none", "/none", "/healthz", "/admin/assets/live.js"} {
		r := h.get(path)
		if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
		if r.header.Get("X-Content-Type-Options") != "nosniff" || r.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: headers %v", path, r.header)
		}
	}
	if r := h.do(http.MethodGet, "/healthz", "", "X-Request-Id", "mine-1"); r.header.Get("X-Request-Id") != "mine-1" {
		t.Errorf("the id of a request is %q, want the client's", r.header.Get("X-Request-Id"))
	}
	if r := h.do(http.MethodGet, "/healthz", "", "X-Request-Id", "two words"); strings.Contains(r.header.Get("X-Request-Id"), " ") {
		t.Error("any request id is taken")
	}
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(seed))
	if r := h.must(http.StatusOK, h.do(http.MethodHead, "/api/tasks/unique-id-123", "")); r.body != "" {
		t.Errorf("body %q", r.body)
	}
	for _, path := range []string{"/", "/admin", "/admin/queues/"} {
		if r := h.get(path); r.status != http.StatusFound || r.header.Get("Location") != "/admin/queues" {
			t.Errorf("%s answers %d %s", path, r.status, r.header.Get("Location"))
		}
	}
}

func TestMetricsCountByRoute(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(seed))
	h.get("/api/tasks/unique-id-123")
	h.get("/nonsense/1")
	h.do("MADEUP", "/nonsense/2", "")
	body := h.must(http.StatusOK, h.get("/metrics")).body
	for _, want := range []string{
		`tasklog_api_requests_total{method="POST",route="/api/tasks",status="202"} 1`,
		`tasklog_api_requests_total{method="GET",route="/api/tasks/:id",status="200"} 1`,
		`tasklog_api_requests_total{method="GET",route="none",status="404"} 1`,
		`tasklog_api_requests_total{method="other",route="none",status="404"} 1`,
		`tasklog_api_request_seconds_count{method="POST",route="/api/tasks"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s", want)
		}
	}
}
