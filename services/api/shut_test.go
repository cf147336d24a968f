package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api"
)

func TestALogThatACopyShutSaysWhy(t *testing.T) {
	for kind, ends := range map[eventlog.GateKind]bool{eventlog.GateMoved: false, eventlog.GateCopying: false, eventlog.GateMoving: true} {
		t.Run(string(kind), func(t *testing.T) {
			h := build(t, api.Config{}, 1)
			h.must(http.StatusAccepted, h.post(seed))
			gate := eventlog.CopyGate(kind, "token", "prefix elsewhere")
			if err := h.log.Swap(t.Context(), h.log.Partitions()[0], "", gate); err != nil {
				t.Fatal(err)
			}
			for _, r := range []reply{
				h.post(seed), h.get("/api/tasks/unknown"), h.do(http.MethodPost, "/api/tasks/unique-id-123/cancel", ""),
				h.do(http.MethodPost, "/api/queues/q/pause", ""),
			} {
				isProblem(t, r, http.StatusServiceUnavailable)
				if !strings.Contains(r.body, "urn:tasklog:problem:"+string(kind)+`"`) || !strings.Contains(r.body, "nothing was appended: "+eventlog.Why(gate)) {
					t.Errorf("%s", r.body)
				}
				if (r.header.Get("Retry-After") != "") != ends {
					t.Errorf("Retry-After: %q", r.header.Get("Retry-After"))
				}
			}
			h.must(http.StatusOK, h.get("/api/tasks/unique-id-123"))
			ready := h.get("/readyz")
			if (ready.status == http.StatusOK) != ends || strings.Contains(ready.body, "elsewhere") {
				t.Errorf("GET /readyz: %d %s", ready.status, ready.body)
			}
			if n := h.length(); n != 1 {
				t.Errorf("the log has %d events, want 1", n)
			}
		})
	}
}

func TestABulkIntoALogThatWasMovedSaysSoForEachLine(t *testing.T) {
	h := build(t, api.Config{}, 1)
	if err := h.log.Swap(t.Context(), h.log.Partitions()[0], "", eventlog.CopyGate(eventlog.GateMoved, "token", "prefix elsewhere")); err != nil {
		t.Fatal(err)
	}
	for _, a := range h.bulk(`{"taskName":"a"}`, `{"taskName":"b"}`) {
		if a.Type != "urn:tasklog:problem:moved" || !strings.Contains(a.Detail, "prefix elsewhere") {
			t.Errorf("%+v", a)
		}
	}
}
