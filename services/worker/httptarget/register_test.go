package httptarget_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
	"github.com/tasklog/tasklog/services/worker"
	"github.com/tasklog/tasklog/services/worker/httptarget"
)

// A server in any language: it fails the first attempt of "img.resize", and says what it was sent.
func server(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Tasklog-Task-Name") == "img.resize" && r.Header.Get("Tasklog-Attempt") == "1" {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintf(w, `{"path":%q,"body":%s}`, r.URL.Path, body)
}

func TestAWorkerHandsTasksToTheServersOfItsFile(t *testing.T) {
	there := httptest.NewServer(http.HandlerFunc(server))
	defer there.Close()
	conn, err := eventlog.Connect(testredis.Start(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := scheduler.New(log, scheduler.Config{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(log, worker.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	set, err := httptarget.Parse(fmt.Appendf(nil, "allow: [127.0.0.1/32]\ntargets: {img.*: {url: '%s/img'}, '*': {url: '%s/any'}}", there.URL, there.URL), env)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	set.Register(w)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- w.Run(ctx) }()
	defer func() {
		stop()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}()

	for name, want := range map[string]string{
		"img.resize": `{"path":"/img","body":{"n":1}}`,
		"sendEmail":  `{"path":"/any","body":null}`,
	} {
		d := events.Definition{MaxAttempts: 2}
		if name == "img.resize" {
			d.Payload = json.RawMessage(`{"n":1}`)
		}
		if _, err := log.Request(t.Context(), eventlog.Request{Task: name, Label: events.Label{Queue: "q", Name: name}, Definition: d}); err != nil {
			t.Fatal(err)
		}
		if got := string(completed(t, log, name).Result); got != want {
			t.Errorf("%s completed with %s, want %s", name, got, want)
		}
	}
}

// completed follows the log to the TaskCompleted of a task.
func completed(t *testing.T, log *eventlog.Log, task string) events.TaskCompleted {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for pos := (events.ID{}); ; {
		entries, err := log.Follow(ctx, log.Of(task), pos, 100, time.Second)
		if err != nil {
			t.Fatalf("waiting for %s: %v", task, err)
		}
		for _, e := range entries {
			pos = e.ID
			if d, ok := e.Data.(events.TaskCompleted); ok && e.Task == task {
				return d
			}
		}
	}
}
