package httptarget_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/services/worker"
	"github.com/tasklog/tasklog/services/worker/httptarget"
	"github.com/tasklog/tasklog/services/worker/internal/verdict"
)

// serve starts a server and returns the one target that posts to it, with more lines of YAML.
func serve(t *testing.T, h http.HandlerFunc, more string) *httptarget.Target {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	set, err := httptarget.Parse([]byte("allow: [127.0.0.1]\ntargets:\n  job:\n    url: "+server.URL+"/tasks?a=b\n"+more), env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set.Targets()[0]
}

var task = worker.Task[json.RawMessage]{
	ID: "täsk-1", Name: "job", Queue: "q", Attempt: 7, Attempts: 2, MaxAttempts: 5,
	Payload:     json.RawMessage(`{"n":12345678901234567890, "h":"<&>"}`),
	Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}

func TestARequestSaysWhatTheTaskIsAndIsSigned(t *testing.T) {
	var body []byte
	var header http.Header
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/tasks?a=b" {
			t.Errorf("%s %s, want POST /tasks?a=b", r.Method, r.URL)
		}
	}, "    headers: {authorization: 'Bearer ${MAIL_TOKEN}', X-Plain: '$${x} $y'}\n    secret: ${MAIL_SECRET}\n")
	if _, err := target.Handle(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	if string(body) != string(task.Payload) {
		t.Errorf("body %s, want the payload as it is", body)
	}
	for k, want := range map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer tok", "X-Plain": "${x} $y",
		"Tasklog-Task-Id": "täsk-1", "Tasklog-Task-Name": "job", "Tasklog-Queue": "q", "Tasklog-Attempt": "7", "Idempotency-Key": "täsk-1",
	} {
		if have := header.Get(k); have != want {
			t.Errorf("%s: %q, want %q", k, have, want)
		}
	}
	sig := regexp.MustCompile(`^t=(\d+),v1=([0-9a-f]{64})$`).FindStringSubmatch(header.Get("Tasklog-Signature"))
	if sig == nil {
		t.Fatalf("signature %q", header.Get("Tasklog-Signature"))
	}
	mac := hmac.New(sha256.New, []byte("s3cret"))
	_, _ = fmt.Fprintf(mac, "%s.%s", sig[1], body)
	if want := hex.EncodeToString(mac.Sum(nil)); sig[2] != want {
		t.Errorf("signature %s, want %s", sig[2], want)
	}
}

func TestATraceGoesOnInAChildSpanAndABrokenOneNotAtAll(t *testing.T) {
	var got []string
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Values("Traceparent") }, "")
	child := regexp.MustCompile(`^00-4bf92f3577b34da6a3ce929d0e0e4736-([0-9a-f]{16})-01$`)
	for parent, valid := range map[string]bool{
		task.Traceparent:                       true,
		"01" + task.Traceparent[2:] + "-later": true,
		"":                                     false,
		"ff" + task.Traceparent[2:]:            false,
		task.Traceparent + "-more":             false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
		strings.ToUpper(task.Traceparent):                         false,
	} {
		in := task
		in.Traceparent = parent
		if _, err := target.Handle(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		switch {
		case !valid && len(got) > 0:
			t.Errorf("parent %q is passed on as %q", parent, got)
		case valid && (len(got) != 1 || !child.MatchString(got[0]) || strings.Contains(got[0], "00f067aa0ba902b7")):
			t.Errorf("child of %q is %q", parent, got)
		}
	}
}

func TestTheAnswerDecidesHowTheAttemptEnds(t *testing.T) {
	long := `"` + strings.Repeat("x", httptarget.MaxAnswer) + `"`
	for _, tt := range []struct {
		status int
		header string // Retry-After
		body   string

		result  string // of a success
		failure string // in the error of a failure
		final   bool
		after   time.Duration // -1: as the backoff says
	}{
		{status: 200, body: `{"a":12345678901234567890,"b":"<>"}`, result: `{"a":12345678901234567890,"b":"<>"}`},
		{status: 201, body: " 5\n", result: "5"},
		{status: 200, body: "hello <b>\n", result: `"hello <b>"`},
		{status: 200, body: "bad \xff utf8", result: `"bad ` + "\uFFFD" + ` utf8"`},
		{status: 200, body: "{\"a\":\"bad \xff utf8\"}", result: "{\"a\":\"bad \uFFFD utf8\"}"},
		{status: 200, body: strings.Repeat("[", 512) + strings.Repeat("]", 512), result: strings.Repeat("[", 512) + strings.Repeat("]", 512)},
		{status: 200, body: strings.Repeat("[", 513) + strings.Repeat("]", 513), failure: "nested deeper than 512", final: true, after: -1},
		{status: 200},
		{status: 204},
		{status: 200, body: " \n\t"},
		{status: 200, body: long, failure: "the answer is too long", final: true, after: -1},
		{status: 400, body: "no such user", failure: "status 400: no such user", final: true, after: -1},
		{status: 404, failure: "status 404", final: true, after: -1},
		{status: 422, header: "3", failure: "status 422", final: true, after: -1},
		{status: 400, body: long, failure: "status 400: \"xxx", final: true, after: -1},
		{status: 408, failure: "status 408", after: -1},
		{status: 425, failure: "status 425", after: -1},
		{status: 429, header: "120", failure: "status 429", after: 2 * time.Minute},
		{status: 429, header: "soon", failure: "status 429", after: -1},
		{status: 429, header: "-5", failure: "status 429", after: -1},
		{status: 503, header: "0", failure: "status 503", after: 0},
		{status: 503, header: "date+90s", failure: "status 503", after: 90 * time.Second},
		{status: 503, header: "Mon, 02 Jan 2006 15:04:05 GMT", failure: "status 503", after: 0},
		{status: 503, header: "99999999999999999", failure: "status 503", after: 366 * 24 * time.Hour},
		{status: 500, body: strings.Repeat("y", 5000), failure: "y …", after: -1},
		{status: 500, body: long, failure: "status 500", after: -1},
		{status: 302, failure: "status 302", after: -1},
	} {
		asked := 0
		target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			if tt.header != "" {
				// The server's clock is not ours: only the difference counts.
				clock := time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
				w.Header().Set("Date", clock.Format(http.TimeFormat))
				w.Header().Set("Retry-After", strings.ReplaceAll(tt.header, "date+90s", clock.Add(90*time.Second).Format(http.TimeFormat)))
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		}, "")
		result, err := target.Handle(t.Context(), task)
		v := verdict.Of(result, err, 0)
		at := fmt.Sprintf("%d %.20q %q", tt.status, tt.body, tt.header)
		if asked != 1 {
			t.Errorf("%s: asked %d times, want once: a redirect is not followed", at, asked)
		}
		if string(v.Result) != tt.result || (v.Reason != "") != (tt.failure != "") {
			t.Errorf("%s: result %q, error %q, want %q, %q", at, v.Result, v.Error, tt.result, tt.failure)
		}
		if tt.failure == "" {
			continue
		}
		if !strings.Contains(v.Error, tt.failure) || v.Final != tt.final {
			t.Errorf("%s: error %.200q, final %v; want %q, %v", at, v.Error, v.Final, tt.failure, tt.final)
		}
		if len(v.Error) > 1200 {
			t.Errorf("%s: an error of %d bytes", at, len(v.Error))
		}
		if have := v.After; (have == nil) != (tt.after < 0) || have != nil && *have != tt.after {
			t.Errorf("%s: retry after %v, want %v", at, have, tt.after)
		}
	}
}

func TestATargetThatTakesTooLongIsTriedAgain(t *testing.T) {
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the client went away
		<-r.Context().Done()
	}, "    timeout: 20ms\n")
	_, err := target.Handle(t.Context(), task)
	if v := verdict.Of(nil, err, 0); err == nil || v.Final || strings.Count(err.Error(), "there was no answer in time: 20ms") != 1 {
		t.Errorf("Handle = %v, want an error that is not final and names the timeout once", err)
	}
}

func TestTheTasksContextEndsTheRequest(t *testing.T) {
	arrived := make(chan struct{})
	target := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-arrived
		cancel(worker.ErrCancelled)
	}()
	if _, err := target.Handle(ctx, task); !errors.Is(err, worker.ErrCancelled) {
		t.Errorf("Handle = %v, want the cause of its context's end", err)
	}
}

func TestAServerThatIsNotThereIsTriedAgainAndItsURLIsNotTold(t *testing.T) {
	set, err := httptarget.Parse([]byte("allow: [127.0.0.1]\ntargets: {a: {url: 'http://127.0.0.1:1/?token=hidden'}}"), env)
	if err != nil {
		t.Fatal(err)
	}
	_, err = set.Targets()[0].Handle(t.Context(), task)
	if v := verdict.Of(nil, err, 0); err == nil || v.Final || strings.Contains(err.Error(), "hidden") {
		t.Errorf("Handle = %v, want an error that is not final and hides the query", err)
	}
}
