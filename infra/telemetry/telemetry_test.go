package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, tt := range []struct{ level, format, want string }{
		{"loud", "", `log level "loud"`},
		{"", "xml", `log format "xml"`},
	} {
		if _, err := telemetry.Logger(io.Discard, tt.level, tt.format); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Logger(%q, %q) = %v, want an error with %q", tt.level, tt.format, err, tt.want)
		}
	}
}

func TestLoggerKeepsOneEntryOnOneLine(t *testing.T) {
	for _, format := range []string{"text", "json", ""} {
		var out bytes.Buffer
		log, err := telemetry.Logger(&out, "", format)
		if err != nil {
			t.Fatal(err)
		}
		log.LogAttrs(t.Context(), slog.LevelInfo, "task failed", slog.String("error", "boom\r\nlevel=ERROR msg=forged\x1b[2J"))
		log.LogAttrs(t.Context(), slog.LevelDebug, "not at this level")
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("format %q: %d lines, want 1: %q", format, n, out.String())
		}
		if strings.ContainsAny(out.String(), "\r\x1b") {
			t.Errorf("format %q lets control characters through: %q", format, out.String())
		}
		if format == "" && !json.Valid(out.Bytes()) {
			t.Errorf("not on a terminal, the log is not JSON: %q", out.String())
		}
	}
}

func TestLoggerSaysDurationsWithTheirUnit(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		l, err := telemetry.Logger(&out, "", format)
		if err != nil {
			t.Fatal(err)
		}
		l.LogAttrs(t.Context(), slog.LevelInfo, "m", slog.Duration("after", 1500*time.Millisecond), slog.Group("g", slog.Duration("d", time.Minute)))
		if said := out.String(); !strings.Contains(said, "1.5s") || !strings.Contains(said, "1m0s") {
			t.Errorf("%s: %s", format, said)
		}
	}
}

func TestHealthTellsLifeReadinessAndMetrics(t *testing.T) {
	var ready atomic.Pointer[error]
	away := errors.New("redis does not answer")
	ready.Store(&away)
	h, err := telemetry.NewHealth(t.Context(), telemetry.HealthConfig{HealthAddr: ":0"},
		telemetry.NewRegistry("v1.2.3"), func(context.Context) error { return *ready.Load() })
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(h.Addr(), "127.0.0.1:") {
		t.Errorf("an address without a host listens on %s, want loopback", h.Addr())
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()

	for _, tt := range []struct {
		path   string
		status int
		want   string
	}{
		{"/healthz", 200, "ok"},
		{"/readyz", 503, "not ready: redis does not answer"},
		{"/metrics", 200, `tasklog_build_info{version="v1.2.3"} 1`},
		{"/metrics", 200, "go_goroutines"},
		{"/other", 404, ""},
	} {
		status, body := get(t, "http://"+h.Addr()+tt.path)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("GET %s = %d %q, want %d with %q", tt.path, status, body, tt.status, tt.want)
		}
	}
	ready.Store(new(error))
	if status, _ := get(t, "http://"+h.Addr()+"/readyz"); status != 200 {
		t.Errorf("GET /readyz = %d once ready, want 200", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v, want nil after its context ended", err)
	}
}

func TestHealthIsOffWithoutAnAddress(t *testing.T) {
	h, err := telemetry.NewHealth(t.Context(), telemetry.HealthConfig{}, telemetry.NewRegistry(""), nil)
	if h != nil || err != nil {
		t.Fatalf("NewHealth = %v, %v, want nil, nil", h, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil || h.Addr() != "" {
		t.Errorf("a nil Health runs with %v at %q", err, h.Addr())
	}
}

func TestHealthNamesAnAddressThatItCannotBind(t *testing.T) {
	for _, addr := range []string{"nowhere", "127.0.0.1:99999", "192.0.2.1:0"} {
		if _, err := telemetry.NewHealth(t.Context(), telemetry.HealthConfig{HealthAddr: addr}, telemetry.NewRegistry(""), nil); err == nil {
			t.Errorf("NewHealth(%q) succeeded", addr)
		}
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestHealthReadsNoHeadWithoutAnEnd(t *testing.T) {
	h, err := telemetry.NewHealth(t.Context(), telemetry.HealthConfig{HealthAddr: "127.0.0.1:0"}, telemetry.NewRegistry(""), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	if status, _ := get(t, "http://"+h.Addr()+"/healthz?"+strings.Repeat("x", 64<<10)); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head of 64 KiB is answered with status %d, want 431", status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
