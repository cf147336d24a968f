package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A house is a Redis, a log and an API that serves.
type house struct {
	*testing.T
	redis  *testredis.Server
	log    *eventlog.Log
	base   string // http://host:port
	client *http.Client
	slog   *journal
	// shutdown ends the API, once, and returns what Run did.
	shutdown func() error
}

// journal collects what the API logs.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

func build(t *testing.T, cfg api.Config, partitions int) *house {
	t.Helper()
	t.Parallel()
	server := testredis.Start(t)
	conn, err := eventlog.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	h := serve(t, conn, cfg, partitions)
	h.redis = server
	return h
}

// serve is build on a Redis that is there, for tests that do not act on it.
func serve(t *testing.T, conn *eventlog.Conn, cfg api.Config, partitions int) *house {
	t.Helper()
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{Partitions: partitions})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	h := &house{T: t, log: log, slog: &journal{}}
	a, err := api.New(log, cfg, slog.New(slog.NewJSONHandler(h.slog, nil)), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.base = "http://" + a.Addr()
	h.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	h.shutdown = sync.OnceValue(func() error {
		stop()
		return <-done
	})
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		if err := h.shutdown(); err != nil {
			t.Errorf("Run = %v, want nil after its context ended", err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// reply is an answer of the API.
type reply struct {
	status int
	header http.Header
	body   string
}

// field returns a field of a JSON object, as a string.
func (r reply) field(t *testing.T, name string) string {
	t.Helper()
	var object map[string]any
	parse(t, r.body, &object)
	s, _ := object[name].(string)
	return s
}

// parse reads JSON, or fails the test.
func parse(tb testing.TB, text string, v any) {
	tb.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		tb.Fatalf("not the JSON that we want: %v: %q", err, text)
	}
}

func (h *house) do(method, path, body string, header ...string) reply {
	h.Helper()
	r, err := h.try(method, path, body, header...)
	if err != nil {
		h.Fatal(err)
	}
	return r
}

// try is do that may be called from any goroutine.
func (h *house) try(method, path, body string, header ...string) (reply, error) {
	req, err := http.NewRequestWithContext(h.Context(), method, h.base+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(data)}, err
}

func (h *house) get(path string) reply { h.Helper(); return h.do(http.MethodGet, path, "") }

func (h *house) post(body string) reply { h.Helper(); return h.do(http.MethodPost, "/api/tasks", body) }

// must fails the test unless an answer has a status.
func (h *house) must(status int, r reply) reply {
	h.Helper()
	if r.status != status {
		h.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	return r
}

// length is the number of entries in the log.
func (h *house) length() (n int64) {
	h.Helper()
	for _, p := range h.log.Partitions() {
		l, err := h.log.Len(h.Context(), p)
		if err != nil {
			h.Fatal(err)
		}
		n += l
	}
	return n
}

// until waits for a condition that nothing signals.
func (h *house) until(what string, holds func() bool) {
	h.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			h.Fatalf("waited too long until %s", what)
		}
	}
}

// start makes every waiting task of a queue due and starts one of them, as scheduler and worker would.
func (h *house) start(queue, task string) eventlog.Attempt {
	h.Helper()
	ctx, p, rdb := h.Context(), h.log.Of(task), h.redis.Client()
	members, err := rdb.ZRange(ctx, p.Waiting(queue), 0, -1).Result()
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.log.Due(ctx, p, queue, 100, members); err != nil {
		h.Fatal(err)
	}
	t, err := h.log.Task(ctx, task)
	if err != nil {
		h.Fatal(err)
	}
	a := eventlog.Attempt{Task: task, Queue: queue, Number: t.Attempt + 1, Token: "token", Worker: "w", Entry: t.Events[len(t.Events)-1]}
	if _, err := h.log.Start(ctx, a, time.Minute); err != nil {
		h.Fatal(err)
	}
	return a
}
