package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api"
)

const seed = `{"taskName":"sendEmail","payload":{"userId":123,"template":"welcome"},
	"delayMs":5000,"priority":1,"customJobId":"unique-id-123"}`

func TestATaskIsAcceptedOnce(t *testing.T) {
	h := build(t, api.Config{}, 1)
	before := time.Now()
	r := h.must(http.StatusAccepted, h.post(seed))
	if got := r.header.Get("Location"); got != "/api/tasks/unique-id-123" {
		t.Errorf("Location = %q", got)
	}
	for name, want := range map[string]string{"taskId": "unique-id-123", "queue": "default", "state": "delayed"} {
		if got := r.field(t, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(r.field(t, "dueAt")) {
		t.Errorf("dueAt = %q, want RFC 3339 with ms in UTC", r.field(t, "dueAt"))
	}
	due, err := time.Parse(time.RFC3339, r.field(t, "dueAt"))
	if wait := due.Sub(before); err != nil || wait < 4*time.Second || wait > 15*time.Second {
		t.Errorf("due %s after the request, want 5 s: %v", wait, err)
	}
	if !strings.Contains(r.body, `"duplicate":false`) {
		t.Errorf("the first request is called a duplicate: %s", r.body)
	}
	again := h.must(http.StatusAccepted, h.post(`{"taskName":"other","queue":"elsewhere","customJobId":"unique-id-123"}`))
	if want := strings.Replace(r.body, `"duplicate":false`, `"duplicate":true`, 1); again.body != want {
		t.Errorf("duplicate answers %s, want the first task: %s", again.body, want)
	}
	if n := h.length(); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestFiftyRacersWithOneIDMakeOneTask(t *testing.T) {
	h := build(t, api.Config{}, 2)
	var wg sync.WaitGroup
	replies, errs := make([]reply, 50), make([]error, 50)
	for i := range replies {
		wg.Go(func() {
			replies[i], errs[i] = h.try(http.MethodPost, "/api/tasks", fmt.Sprintf(`{"taskName":"t","payload":%d,"customJobId":"one"}`, i))
		})
	}
	wg.Wait()
	first, event := 0, ""
	for i, r := range replies {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		h.must(http.StatusAccepted, r)
		if strings.Contains(r.body, `"duplicate":false`) {
			first++
		}
		if event == "" {
			event = r.field(t, "eventId")
		}
		if got := r.field(t, "eventId"); got != event {
			t.Errorf("event %s, others %s", got, event)
		}
	}
	if n := h.length(); first != 1 || n != 1 {
		t.Errorf("%d requests were first and %d events are in the log, want 1 and 1", first, n)
	}
}

func TestAPayloadArrivesAsItWasSent(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for i, payload := range []string{
		`{"big":123456789012345678901234567890.5,"empty":[],"none":{},"html":"<b>&amp;</b>","esc":"\ud800\u2028\/","exp":1e999}`,
		`[]`, `""`, `0`, `null`, `{"a":1,"a":2}`, "\"\u2028\"",
	} {
		id := fmt.Sprintf("p%d", i)
		h.must(http.StatusAccepted, h.post(fmt.Sprintf(`{"taskName":"t","customJobId":%q,"payload":%s}`, id, payload)))
		task, err := h.log.Task(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if string(task.Payload) != payload {
			t.Errorf("payload %s became %s", payload, task.Payload)
		}
		if r := h.must(http.StatusOK, h.get("/api/tasks/"+id)); !strings.Contains(r.body, `"payload":`+payload) {
			t.Errorf("GET shows payload %s as %s", payload, r.body)
		}
	}
}

func TestEveryFieldReachesTheLog(t *testing.T) {
	h := build(t, api.Config{}, 1)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	runAt := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond).Add(400 * time.Microsecond).Format(time.RFC3339Nano)
	h.must(http.StatusAccepted, h.do(http.MethodPost, "/api/tasks", fmt.Sprintf(`{"taskName":"näme","queue":"mail/eu","runAt":%q,
		"priority":7,"customJobId":"a/b+c d","maxAttempts":3,"timeoutMs":250,
		"backoff":{"type":"fixed","delayMs":10,"maxDelayMs":20,"jitter":0}}`, runAt), "traceparent", trace))
	got, err := h.log.Task(t.Context(), "a/b+c d")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "näme" || got.Queue != "mail/eu" || got.Priority != 7 || got.MaxAttempts != 3 || got.TimeoutMs != 250 ||
		got.Traceparent != trace || got.Backoff.Type != "fixed" || got.Backoff.DelayMs != 10 || got.Backoff.MaxDelayMs != 20 ||
		got.Backoff.Jitter == nil || *got.Backoff.Jitter != 0 || got.RequestID == "" {
		t.Errorf("task = %+v", got)
	}
	if asked, err := time.Parse(time.RFC3339, runAt); err != nil || got.DueAt != asked.UnixMilli()+1 {
		t.Errorf("due at %d, want the next ms after %s", got.DueAt, runAt)
	}
	for _, bad := range []string{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "nonsense",
	} {
		r := h.must(http.StatusAccepted, h.do(http.MethodPost, "/api/tasks", `{"taskName":"t"}`, "traceparent", bad))
		if task, err := h.log.Task(t.Context(), r.field(t, "taskId")); err != nil || task.Traceparent != "" {
			t.Errorf("traceparent %q is taken as %q, %v", bad, task.Traceparent, err)
		}
	}
}

func TestATimeThatIsPastMeansNow(t *testing.T) {
	h := build(t, api.Config{}, 1)
	r := h.must(http.StatusAccepted, h.post(`{"taskName":"t","runAt":"2001-01-01T00:00:00+02:00"}`))
	if r.field(t, "state") != "waiting" {
		t.Errorf("state %q, want waiting", r.field(t, "state"))
	}
}

// badRequests is bad input of every kind: what is sent, what must be answered, and the field at fault.
func badRequests() []badRequest {
	long := strings.Repeat("x", events.MaxNameBytes+1)
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	bomb := strings.Repeat(`{"a":`, 200_000) + "1" + strings.Repeat("}", 200_000)
	with := func(rest string) string { return `{"taskName":"t",` + rest + `}` }
	return []badRequest{
		{"empty", "", 400, ""},
		{"space", "  ", 400, ""},
		{"not JSON", "taskName=t", 400, ""},
		{"cut off", `{"taskName":"t"`, 400, ""},
		{"trailing data", `{"taskName":"t"} {}`, 400, ""},
		{"trailing comma", `{"taskName":"t",}`, 400, ""},
		{"comment", `{"taskName":"t"/**/}`, 400, ""},
		{"single quotes", `{'taskName':'t'}`, 400, ""},
		{"byte order mark", "\ufeff" + `{"taskName":"t"}`, 400, ""},
		{"null", "null", 400, ""},
		{"an array", `[{"taskName":"t"}]`, 400, ""},
		{"a string", `"taskName"`, 400, ""},
		{"NaN", with(`"delayMs":NaN`), 400, ""},
		{"Infinity", with(`"priority":Infinity`), 400, ""},
		{"hexadecimal", with(`"priority":0x10`), 400, ""},
		{"leading zero", with(`"priority":01`), 400, ""},
		{"invalid UTF-8", "{\"taskName\":\"t\xff\"}", 400, ""},
		{"invalid UTF-8 in the payload", with("\"payload\":\"\xc3\x28\""), 400, ""},
		{"NUL byte", with("\"payload\":\"\x00\""), 400, ""},
		{"deep payload", with(`"payload":` + deep), 400, ""},
		{"depth bomb", with(`"payload":` + bomb), 413, ""},

		{"no name", `{}`, 422, "taskName"},
		{"empty name", `{"taskName":""}`, 422, "taskName"},
		{"name of another type", `{"taskName":5}`, 422, "taskName"},
		{"null name", `{"taskName":null}`, 422, "taskName"},
		{"name too long", `{"taskName":"` + long + `"}`, 422, "taskName"},
		{"name with braces", `{"taskName":"a{b}"}`, 422, "taskName"},
		{"name with a line break", `{"taskName":"a\r\nb"}`, 422, "taskName"},
		{"name with half a surrogate pair", `{"taskName":"\ud800"}`, 422, "taskName"},
		{"name twice", `{"taskName":"a","taskName":"b"}`, 422, "taskName"},
		{"name in other case", `{"taskName":"t","TaskName":"u"}`, 422, "TaskName"},
		{"unknown field", with(`"retries":3`), 422, "retries"},
		{"long unknown field", with(`"` + long + `":3`), 422, long[:100] + "…"},
		{"unknown field of backoff", with(`"backoff":{"delay":3}`), 422, "backoff.delay"},

		{"delay as a string", with(`"delayMs":"5000"`), 422, "delayMs"},
		{"null delay", with(`"delayMs":null`), 422, "delayMs"},
		{"delay with a fraction", with(`"delayMs":1.5`), 422, "delayMs"},
		{"delay with an exponent", with(`"delayMs":1e999`), 422, "delayMs"},
		{"negative delay", with(`"delayMs":-1`), 422, "delayMs"},
		{"delay of more than a year", with(`"delayMs":31622400001`), 422, "delayMs"},
		{"delay beyond 64 bits", with(`"delayMs":99999999999999999999`), 422, "delayMs"},
		{"delay as an object", with(`"delayMs":{}`), 422, "delayMs"},
		{"runAt that is no time", with(`"runAt":"tomorrow"`), 422, "runAt"},
		{"runAt as a number", with(`"runAt":1764000000000`), 422, "runAt"},
		{"runAt without a zone", with(`"runAt":"2026-01-01T00:00:00"`), 422, "runAt"},
		{"runAt on 30 February", with(`"runAt":"2026-02-30T00:00:00Z"`), 422, "runAt"},
		{"runAt in year 9999", with(`"runAt":"9999-12-31T23:59:59Z"`), 422, "runAt"},
		{"runAt in year 10000", with(`"runAt":"10000-01-01T00:00:00Z"`), 422, "runAt"},
		{"runAt before 1970", with(`"runAt":"1969-12-31T23:59:59Z"`), 422, "runAt"},
		{"runAt and delay", with(`"runAt":"2026-01-01T00:00:00Z","delayMs":0`), 422, "runAt"},

		{"negative priority", with(`"priority":-1`), 422, "priority"},
		{"priority too great", with(`"priority":2097153`), 422, "priority"},
		{"priority as a boolean", with(`"priority":true`), 422, "priority"},
		{"priority twice", with(`"priority":1,"priority":1`), 422, "priority"},
		{"empty id", with(`"customJobId":""`), 422, "customJobId"},
		{"null id", with(`"customJobId":null`), 422, "customJobId"},
		{"id as a number", with(`"customJobId":7`), 422, "customJobId"},
		{"id too long", with(`"customJobId":"` + long + `"`), 422, "customJobId"},
		{"id with a cluster slot", with(`"customJobId":"{1}"`), 422, "customJobId"},
		{"id with NUL", with(`"customJobId":"a\u0000"`), 422, "customJobId"},
		{"empty queue", with(`"queue":""`), 422, "queue"},
		{"queue with a line break", with(`"queue":"a\nb"`), 422, "queue"},
		{"queue as an array", with(`"queue":["a"]`), 422, "queue"},
		{"no attempts", with(`"maxAttempts":0`), 422, "maxAttempts"},
		{"too many attempts", with(`"maxAttempts":1001`), 422, "maxAttempts"},
		{"half an attempt", with(`"maxAttempts":0.5`), 422, "maxAttempts"},
		{"negative timeout", with(`"timeoutMs":-1`), 422, "timeoutMs"},
		{"backoff as a string", with(`"backoff":"fixed"`), 422, "backoff"},
		{"null backoff", with(`"backoff":null`), 422, "backoff"},
		{"unknown backoff", with(`"backoff":{"type":"linear"}`), 422, "backoff.type"},
		{"negative backoff", with(`"backoff":{"delayMs":-1}`), 422, "backoff.delayMs"},
		{"negative greatest backoff", with(`"backoff":{"maxDelayMs":-1}`), 422, "backoff.maxDelayMs"},
		{"jitter over 1", with(`"backoff":{"jitter":1.01}`), 422, "backoff.jitter"},
		{"endless jitter", with(`"backoff":{"jitter":1e999}`), 422, "backoff.jitter"},
		{"jitter as a string", with(`"backoff":{"jitter":"1"}`), 422, "backoff.jitter"},
		{"payload too large", with(`"payload":"` + strings.Repeat("x", 1<<20) + `"`), 413, "payload"},
		{"body too large", with(`"payload":"` + strings.Repeat("x", 2<<20) + `"`), 413, ""},
	}
}

type badRequest struct {
	name, body string
	status     int
	field      string
}

func TestBadInputIsRefusedAndAppendsNothing(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, tt := range badRequests() {
		t.Run(tt.name, func(t *testing.T) {
			r := h.do(http.MethodPost, "/api/tasks", tt.body, "Content-Type", "application/json")
			isProblem(t, r, tt.status)
			if got := r.field(t, "field"); got != tt.field {
				t.Errorf("field %q, want %q: %s", got, tt.field, r.body)
			}
			if n := h.length(); n != 0 {
				t.Fatalf("%d events are in the log", n)
			}
		})
	}
}

// isProblem checks that an answer is a problem with a status, as RFC 9457 says.
func isProblem(t *testing.T, r reply, status int) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	parse(t, r.body, &p)
	if r.status != status || p.Status != status || r.header.Get("Content-Type") != "application/problem+json" ||
		p.Type == "" || p.Title == "" || p.Detail == "" {
		t.Errorf("status %d, %s: %s; want a problem with status %d", r.status, r.header.Get("Content-Type"), r.body, status)
	}
}

func TestEveryFieldAtFaultIsNamed(t *testing.T) {
	h := build(t, api.Config{}, 1)
	r := h.post(`{"queue":"","delayMs":-1,"priority":"high","backoff":{"jitter":2},"x":1}`)
	isProblem(t, r, http.StatusUnprocessableEntity)
	var p struct {
		Field  string
		Errors []struct{ Field, Reason string }
	}
	parse(t, r.body, &p)
	named := map[string]bool{}
	for _, e := range p.Errors {
		named[e.Field] = e.Reason != ""
	}
	for _, field := range []string{"taskName", "queue", "delayMs", "priority", "backoff.jitter", "x"} {
		if !named[field] {
			t.Errorf("%s is not among the errors: %s", field, r.body)
		}
	}
	if p.Field != p.Errors[0].Field {
		t.Errorf("field %q is not the first of the errors", p.Field)
	}
}

func TestOnlyJSONIsTaken(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, header := range [][]string{
		{"Content-Type", "text/plain"},
		{"Content-Type", ""},
		{"Content-Type", "application/x-www-form-urlencoded"},
		{"Content-Type", "application/json; charset=latin-1"},
		{"Content-Type", "application/json;;"},
		{"Content-Encoding", "gzip"},
	} {
		isProblem(t, h.do(http.MethodPost, "/api/tasks", `{"taskName":"t"}`, header...), http.StatusUnsupportedMediaType)
	}
	h.must(http.StatusAccepted, h.do(http.MethodPost, "/api/tasks", `{"taskName":"t"}`, "Content-Type", "Application/JSON; Charset=UTF-8"))
	if n := h.length(); n != 1 {
		t.Errorf("%d events, want the last one only", n)
	}
}

func TestAnIDMayHoldAnythingAURLCanCarry(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, id := range []string{"a/b", "a+b", "a b", "a%2Fb", "?q=1", "#x", "é", "<script>alert(1)</script>", "a;b", "retry", "a/retry", ":id"} {
		body, err := json.Marshal(map[string]string{"taskName": "t", "customJobId": id})
		if err != nil {
			t.Fatal(err)
		}
		r := h.must(http.StatusAccepted, h.post(string(body)))
		if want := "/api/tasks/" + url.PathEscape(id); r.header.Get("Location") != want {
			t.Errorf("Location %q, want %q", r.header.Get("Location"), want)
		}
		if got := h.must(http.StatusOK, h.get(r.header.Get("Location"))); got.field(t, "taskId") != id {
			t.Errorf("task %q is found as %q", id, got.field(t, "taskId"))
		}
		h.must(http.StatusOK, h.do(http.MethodPost, r.header.Get("Location")+"/cancel", ""))
	}
}

func TestARedisThatIsAwayIsSaidAndComesBack(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(seed))
	h.redis.Kill()
	for _, r := range []reply{
		h.post(`{"taskName":"t"}`), h.get("/api/tasks/unique-id-123"), h.get("/readyz"), h.get("/api/events"),
		h.do(http.MethodPost, "/api/queues/q/pause", ""), h.do(http.MethodPost, "/api/tasks/unique-id-123/cancel", ""),
	} {
		isProblem(t, r, http.StatusServiceUnavailable)
		if r.header.Get("Retry-After") == "" {
			t.Errorf("no Retry-After: %s", r.body)
		}
	}
	h.must(http.StatusOK, h.get("/healthz"))
	h.redis.Restart(t)
	h.until("the API accepts tasks again", func() bool { return h.post(`{"taskName":"t"}`).status == http.StatusAccepted })
	h.must(http.StatusOK, h.get("/readyz"))
	if strings.Contains(h.slog.String(), "welcome") {
		t.Error("a payload was logged")
	}
}

func TestARedisThatHangsIsSaidInTime(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.redis.Pause()
	defer h.redis.Resume()
	begin := time.Now()
	isProblem(t, h.post(`{"taskName":"t"}`), http.StatusServiceUnavailable)
	if took := time.Since(begin); took > 15*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAFullRedisIsSaidBeforeItIsFull(t *testing.T) {
	h := build(t, api.Config{}, 1)
	used, err := h.log.Conn().Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.redis.Set(t, "maxmemory", strconv.FormatInt(used[0].Memory*10/9, 10)) // Redis itself would still take it
	r := h.post(seed)
	isProblem(t, r, http.StatusServiceUnavailable)
	if r.header.Get("Retry-After") == "" || !strings.Contains(r.body, "urn:tasklog:problem:full") {
		t.Errorf("%v %s", r.header, r.body)
	}
	if n := h.length(); n != 0 {
		t.Errorf("%d events", n)
	}
	h.must(http.StatusOK, h.get("/readyz"))
	h.redis.Set(t, "maxmemory", "0")
	h.until("a task is taken", func() bool { return h.post(seed).status == http.StatusAccepted })
}

func TestWhileTheStateIsMadeAgainRequestsAreToldToComeBack(t *testing.T) {
	h := build(t, api.Config{}, 1)
	h.must(http.StatusAccepted, h.post(seed))
	rdb, gate := h.redis.Client(), h.log.Partitions()[0].Rebuild
	if err := rdb.Set(t.Context(), gate, "somebody", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, r := range []reply{
		h.post(`{"taskName":"t"}`), h.get("/api/tasks/unknown"),
		h.do(http.MethodPost, "/api/queues/q/pause", ""), h.do(http.MethodPost, "/api/tasks/unique-id-123/cancel", ""),
	} {
		isProblem(t, r, http.StatusServiceUnavailable)
		if r.header.Get("Retry-After") == "" || !strings.Contains(r.body, "urn:tasklog:problem:rebuilding") ||
			!strings.Contains(r.body, "tasklog replay --state") {
			t.Errorf("%v %s", r.header, r.body)
		}
	}
	if n := h.length(); n != 1 {
		t.Errorf("the log has %d events, want 1", n)
	}
	if err := rdb.Del(t.Context(), gate).Err(); err != nil {
		t.Fatal(err)
	}
	h.must(http.StatusAccepted, h.post(`{"taskName":"t"}`))
}
