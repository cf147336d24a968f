package api_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
)

func TestAnAddressThatCannotBeBoundIsAnError(t *testing.T) {
	h := build(t, api.Config{}, 1)
	for _, addr := range []string{"nowhere", "127.0.0.1:99999", strings.TrimPrefix(h.base, "http://")} {
		a, err := api.New(h.log, api.Config{Addr: addr}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context()); err == nil {
			t.Errorf("Run at %q succeeded", addr)
		}
	}
	for _, cfg := range []api.Config{{MaxPayload: -1}, {MaxMemory: -1}, {MaxStreams: -1}, {ReadTimeout: -1}, {Heartbeat: -1}} {
		if _, err := api.New(h.log, cfg, slog.New(slog.DiscardHandler), nil); err == nil {
			t.Errorf("New(%+v) succeeded", cfg)
		}
	}
}

func TestTheEmbeddedRedisWillDo(t *testing.T) {
	t.Parallel()
	conn, err := eventlog.Connect(testredis.Embedded(t))
	if err != nil {
		t.Fatal(err)
	}
	h := serve(t, conn, api.Config{}, 1)
	h.project()
	h.must(202, h.post(seed))
	next, _ := h.streamOf("/api/events?lastEventId=0-0")
	if m := next(); m.event != "TaskRequested" {
		t.Errorf("message %+v", m)
	}
	h.until("the page shows the task", func() bool { return strings.Contains(h.get("/admin/queues").body, "unique-id-123") })
	h.must(200, h.do("POST", "/api/tasks/unique-id-123/cancel", ""))
	if d := h.detail("unique-id-123"); d.State != "cancelled" {
		t.Errorf("task %+v", d)
	}
}

func TestAHeadWithoutAnEndIsRefused(t *testing.T) {
	h := build(t, api.Config{}, 1)
	r := h.get("/healthz?" + strings.Repeat("x", 64<<10))
	if r.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head of 64 KiB is answered with status %d, want 431", r.status)
	}
}
