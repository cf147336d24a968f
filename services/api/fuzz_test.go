package api_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
)

// FuzzPostTask holds against any body: it is accepted, and then one event that can be read holds the
// payload as it was sent; or it is refused with a problem, and nothing is appended.
func FuzzPostTask(f *testing.F) {
	for _, tt := range badRequests() {
		if len(tt.body) < 4<<10 {
			f.Add([]byte(tt.body))
		}
	}
	f.Add([]byte(seed))
	f.Add([]byte(`{"taskName":"t","queue":"q","priority":2097152,"maxAttempts":1000,"timeoutMs":1,"backoff":{"type":"fixed","delayMs":1,"maxDelayMs":2,"jitter":0.5}}`))
	f.Add([]byte(`{"taskName":"t","runAt":"2001-01-01T00:00:00Z","payload":[{},[],"\ud800",1e999,-0.0]}`))

	conn, err := eventlog.Connect(testredis.Start(f).URL())
	if err != nil {
		f.Fatal(err)
	}
	log, err := eventlog.Open(f.Context(), conn, eventlog.Config{})
	if err != nil {
		f.Fatal(err)
	}
	a, err := api.New(log, api.Config{MaxPayload: 16 << 10}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		a.Close()
		if err := conn.Close(); err != nil {
			f.Error(err)
		}
	})
	p := log.Partitions()[0]
	f.Fuzz(func(t *testing.T, body []byte) {
		before, err := log.Last(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/tasks", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		a.Handler().ServeHTTP(w, r)
		entries, err := log.Range(t.Context(), p, before, events.MaxID, 10)
		if err != nil {
			t.Fatal(err)
		}
		if w.Code != http.StatusAccepted {
			if w.Code < 400 || w.Code > 499 || w.Header().Get("Content-Type") != "application/problem+json" || !json.Valid(w.Body.Bytes()) {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			if len(entries) != 0 {
				t.Errorf("refused with status %d, and %d entries appended", w.Code, len(entries))
			}
			return
		}
		var got struct{ Duplicate bool }
		parse(t, w.Body.String(), &got)
		if got.Duplicate && len(entries) == 0 {
			return
		}
		if got.Duplicate || len(entries) != 1 || entries[0].Err != nil {
			t.Fatalf("duplicate %t, entries %+v", got.Duplicate, entries)
		}
		// encoding/json would take Payload too, but that was refused: it is unknown.
		var sent struct {
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(body, &sent); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		var want bytes.Buffer
		if sent.Payload != nil {
			if err := json.Compact(&want, sent.Payload); err != nil {
				t.Fatal(err)
			}
		}
		if d := entries[0].Data.(events.TaskRequested); string(d.Payload) != want.String() {
			t.Errorf("payload %q became %q", want.String(), d.Payload)
		}
	})
}
