package relay_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A house is a log, a webhook that records, and relays.
type house struct {
	*testing.T
	log    *eventlog.Log
	reg    *prometheus.Registry
	url    string
	said   *buffer
	answer func(n int, r *http.Request) int // status of the n-th request, from 1

	mu    sync.Mutex
	got   []request
	fresh chan struct{}
}

type request struct {
	header http.Header
	body   []byte
	relay.Notice
	status int
}

type buffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

func build(t *testing.T, url string, partitions int) *house {
	t.Helper()
	conn, err := eventlog.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, log: log, said: &buffer{}, fresh: make(chan struct{}, 1)}
	h.answer = func(int, *http.Request) int { return http.StatusNoContent }
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL + "/hook?token=abc"
	return h
}

// ServeHTTP is the webhook.
func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	got := request{header: r.Header, body: body}
	if err == nil {
		err = json.Unmarshal(body, &got.Notice)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.RequestURI() != "/hook?token=abc" {
		h.Errorf("%s %s with %q: %v", r.Method, r.URL, body, err)
	}
	h.mu.Lock()
	got.status = h.answer(len(h.got)+1, r)
	h.got = append(h.got, got)
	h.mu.Unlock()
	w.WriteHeader(got.status)
	_, _ = w.Write(body) // as many a server does with what it refuses
	select {
	case h.fresh <- struct{}{}:
	default:
	}
}

// start runs a relay until the returned function, or the end of the test, stops it.
func (h *house) start(cfg relay.Config) (stop func()) {
	h.Helper()
	h.reg = prometheus.NewRegistry()
	cfg.To, cfg.Allow = h.url, []string{"127.0.0.1"}
	if cfg.RetryDelay == 0 {
		cfg.RetryDelay = time.Millisecond
	}
	r, err := relay.New(h.log, cfg, slog.New(slog.NewTextHandler(h.said, nil)), h.reg)
	if err != nil {
		h.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			h.Errorf("Run = %v, want nil", err)
		}
	})
	h.Cleanup(stop)
	return stop
}

// await returns the requests once there are as many as enough says.
func (h *house) await(what string, enough func([]request) bool) []request {
	h.Helper()
	late := time.After(30 * time.Second)
	for {
		h.mu.Lock()
		got := slices.Clone(h.got)
		h.mu.Unlock()
		if enough(got) {
			return got
		}
		select {
		case <-h.fresh:
		case <-late:
			h.Fatalf("no %s after 30s: %d requests\n%s", what, len(got), h.said)
		}
	}
}

// acked returns how many different events were acknowledged.
func acked(got []request) int {
	seen := map[string]bool{}
	for _, r := range got {
		if r.status < 300 {
			seen[r.header.Get(relay.HeaderKey)] = true
		}
	}
	return len(seen)
}

func (h *house) request(id string) {
	h.Helper()
	_, err := h.log.Request(h.Context(), eventlog.Request{
		Task: id, Label: events.Label{Queue: "q", Name: "n"},
		Definition: events.Definition{MaxAttempts: 1, Payload: json.RawMessage(`{"n":12345678901234567890,"h":"<&>"}`)},
	})
	if err != nil {
		h.Fatal(err)
	}
}

// cancel appends the final event of a new task.
func (h *house) cancel(id string) {
	h.Helper()
	h.request(id)
	if _, err := h.log.Cancel(h.Context(), id, "test", "<because>"); err != nil {
		h.Fatal(err)
	}
}

func TestFinalEventsArePostedSignedAndInOrder(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := build(t, url, 0)
		for i := range 20 { // before the relay was ever started
			h.cancel(fmt.Sprint("t", i))
		}
		h.start(relay.Config{Secret: "s3cret"})
		got := h.await("20 events", func(g []request) bool { return len(g) >= 20 })
		for i, r := range got {
			if r.Task != fmt.Sprint("t", i) || r.Type != events.TypeTaskCancelled || r.Version != 1 || r.At.UnixMilli() != r.EventID.Ms {
				t.Errorf("event %d is %+v", i, r.Notice)
			}
			if want := `{"queue":"q","name":"n","by":"test","reason":"<because>","from":"waiting"}`; string(r.Data) != want {
				t.Errorf("data %s, want as in the log: %s", r.Data, want)
			}
			for k, want := range map[string]string{
				"Content-Type": "application/json", "Tasklog-Event-Id": r.EventID.String(), "Idempotency-Key": r.EventID.String(),
				"Tasklog-Event-Type": "TaskCancelled", "Tasklog-Task-Id": r.Task,
			} {
				if have := r.header.Get(k); have != want {
					t.Errorf("%s: %q, want %q", k, have, want)
				}
			}
			unix, sum, _ := strings.Cut(strings.TrimPrefix(r.header.Get("Tasklog-Signature"), "t="), ",v1=")
			mac := hmac.New(sha256.New, []byte("s3cret"))
			mac.Write([]byte(unix + "." + string(r.body)))
			if want := hex.EncodeToString(mac.Sum(nil)); sum != want {
				t.Errorf("signature %s, want %s", sum, want)
			}
		}
		h.cancel("later")
		h.await("a later event", func(g []request) bool { return g[len(g)-1].Task == "later" })
		if n := testutil.CollectAndCount(h.reg, "tasklog_relay_delivered_total"); n != 1 {
			t.Errorf("%d types were counted as delivered, want 1", n)
		}
	})
}

func TestListedTypesArePostedAndNoOthers(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 0)
	h.cancel("a")
	h.request("b")
	h.start(relay.Config{Types: []string{"TaskRequested"}})
	got := h.await("two events", func(g []request) bool { return len(g) >= 2 })
	if got[0].Task != "a" || got[1].Task != "b" || got[1].Type != events.TypeTaskRequested {
		t.Errorf("posted %+v and %+v, want the two requests", got[0].Notice, got[1].Notice)
	}
	if !bytes.Contains(got[1].Data, []byte(`{"n":12345678901234567890,"h":"<&>"}`)) {
		t.Errorf("the payload is not as it was: %s", got[1].Data)
	}
	if _, signed := got[0].header["Tasklog-Signature"]; signed {
		t.Error("signed without a secret")
	}
}

func TestEventsOfEveryPartitionHaveKeysOfTheirOwn(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 3)
	for i := range 30 {
		h.cancel(fmt.Sprint("t", i))
	}
	h.start(relay.Config{})
	for _, r := range h.await("30 events", func(g []request) bool { return acked(g) >= 30 }) {
		want := fmt.Sprintf("%s@%d", r.EventID, h.log.Of(r.Task).N)
		if key := r.header.Get(relay.HeaderKey); key != want {
			t.Errorf("key %s, want %s", key, want)
		}
	}
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	h := build(t, testredis.Embedded(t), 0)
	for want, cfg := range map[string]relay.Config{
		"relay to: scheme \"\"":                  {},
		"relay to: scheme \"ftp\"":               {To: "ftp://x"},
		"relay to: must not carry":               {To: "http://u:p@x"},
		"relay to: has no host":                  {To: "http:///x"},
		"relay types: there is no":               {To: "http://x", Types: []string{"TaskDone"}},
		"relay group: character":                 {To: "http://x", Group: "a{b"},
		"relay to: forbidden address: 10.0.0.1":  {To: "http://10.0.0.1/"},
		"relay allow: \"all\" is neither":        {To: "http://x", Allow: []string{"all"}},
		"relay retries: 101":                     {To: "http://x", Retries: 101},
		"relay timeout: -1s":                     {To: "http://x", Timeout: -time.Second},
		"relay retry delay: 2s … 1s is no range": {To: "http://x", RetryDelay: 2 * time.Second, MaxRetryDelay: time.Second},
	} {
		if _, err := relay.New(h.log, cfg, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v, want an error with %q", err, want)
		}
	}
}
