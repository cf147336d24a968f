package api_test

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/api/tokens"
)

// keys makes a file with a token for each scope, and one for all of them, and returns their secrets.
func keys(t *testing.T) (file string, secrets map[tokens.Scope]string) {
	t.Helper()
	file, secrets = filepath.Join(t.TempDir(), "tokens.yml"), map[tokens.Scope]string{}
	for _, scope := range append(tokens.Scopes, "all") {
		scopes := []tokens.Scope{scope}
		if scope == "all" {
			scopes = tokens.Scopes
		}
		secret, token, err := tokens.New("only-"+string(scope), scopes)
		if err == nil {
			err = tokens.Append(file, token)
		}
		if err != nil {
			t.Fatal(err)
		}
		secrets[scope] = secret
	}
	return file, secrets
}

func bearer(secret string) []string { return []string{"Authorization", "Bearer " + secret} }

func TestEveryRouteButHealthWantsATokenWithItsScope(t *testing.T) {
	file, secrets := keys(t)
	h := build(t, api.Config{Tokens: file}, 1)
	engine, err := api.New(h.log, api.Config{}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	n := 0
	for _, route := range engine.Handler().(*gin.Engine).Routes() {
		path := strings.NewReplacer(":id", "x", ":queue", "x", ":file", "x").Replace(route.Path)
		if path == "/api/events" {
			path += "?lastEventId=none" // refused where a stream would stay open
		}
		if path == "/healthz" || path == "/readyz" {
			h.must(http.StatusOK, h.do(route.Method, path, ""))
			continue
		}
		n++
		want := tokens.Read
		if route.Method == http.MethodPost {
			if want = tokens.Operate; route.Path == "/api/tasks" || route.Path == "/api/tasks/bulk" {
				want = tokens.Submit
			}
		}
		for _, header := range [][]string{nil, bearer("tasklog_wrong"), bearer(""), {"Authorization", secrets["all"]}, {"Authorization", "Token " + secrets["all"]}} {
			r := h.do(route.Method, path, "", header...)
			if r.status != http.StatusUnauthorized || r.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %s with %q: status %d, want 401 and what to do", route.Method, path, header, r.status)
			}
		}
		for scope, secret := range secrets {
			r := h.do(route.Method, path, "", bearer(secret)...)
			if refused := r.status == http.StatusUnauthorized || r.status == http.StatusForbidden; refused == (scope == want || scope == "all") {
				t.Errorf("%s %s with the scope %s: status %d", route.Method, path, scope, r.status)
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d routes were asked", n)
	}
	if l := h.length(); l != 2 { // a queue was paused and resumed
		t.Errorf("%d events, want those of who may", l)
	}
}

func TestWhoIsRefusedIsToldWhyInAProblem(t *testing.T) {
	file, secrets := keys(t)
	h := build(t, api.Config{Tokens: file}, 1)
	r := h.post(seed)
	isProblem(t, r, http.StatusUnauthorized)
	if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer ") {
		t.Errorf("WWW-Authenticate: %s", r.header.Get("WWW-Authenticate"))
	}
	r = h.do(http.MethodPost, "/api/tasks", seed, bearer(secrets[tokens.Read])...)
	isProblem(t, r, http.StatusForbidden)
	if !strings.Contains(r.header.Get("WWW-Authenticate"), `scope="submit"`) || !strings.Contains(r.body, "only-read") {
		t.Errorf("%v %s", r.header, r.body)
	}
	if strings.Contains(r.body, secrets[tokens.Read]) || strings.Contains(h.slog.String(), secrets[tokens.Read]) {
		t.Error("a secret is repeated")
	}
	if n := h.length(); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestABrowserGivesTheTokenAsAPassword(t *testing.T) {
	file, secrets := keys(t)
	h := build(t, api.Config{Tokens: file}, 1)
	h.project()
	r := h.get("/admin/queues")
	isProblem(t, r, http.StatusUnauthorized)
	if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
		t.Errorf("WWW-Authenticate: %s", r.header.Get("WWW-Authenticate"))
	}
	basic := func(secret string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+secret))}
	}
	h.must(http.StatusOK, h.do(http.MethodGet, "/admin/queues", "", basic(secrets[tokens.Read])...))
	h.must(http.StatusForbidden, h.do(http.MethodGet, "/admin/queues", "", basic(secrets[tokens.Submit])...))
	h.must(http.StatusUnauthorized, h.do(http.MethodGet, "/admin/queues", "", basic("x")...))
	// The browser sends it along with whatever another site's page asks for: that is still refused.
	evil := append(basic(secrets["all"]), "Sec-Fetch-Site", "cross-site")
	isProblem(t, h.do(http.MethodPost, "/api/queues/default/pause", "", evil...), http.StatusForbidden)
	if n := h.length(); n != 0 {
		t.Errorf("%d events", n)
	}
}

func TestTheLogTellsWhichTokenActed(t *testing.T) {
	file, secrets := keys(t)
	h := build(t, api.Config{Tokens: file}, 1)
	h.must(http.StatusAccepted, h.do(http.MethodPost, "/api/tasks", seed, bearer(secrets[tokens.Submit])...))
	h.must(http.StatusOK, h.do(http.MethodPost, "/api/tasks/unique-id-123/cancel", "", bearer(secrets[tokens.Operate])...))
	entries, err := h.log.Range(t.Context(), h.log.Partitions()[0], events.ID{}, events.MaxID, 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if e, ok := entries[1].Data.(events.TaskCancelled); !ok || e.By != "api:only-operate" {
		t.Errorf("the second event is %+v", entries[1].Data)
	}
}

func TestNobodyListensBeyondLoopbackWithoutTokens(t *testing.T) {
	file, _ := keys(t)
	conn, err := eventlog.Connect(testredis.Embedded(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		cfg  api.Config
		open bool // whether that is an error
	}{
		{api.Config{Addr: ":0"}, true},
		{api.Config{Addr: "0.0.0.0:0"}, true},
		{api.Config{Addr: "[::]:0"}, true},
		{api.Config{Addr: ":0", Hosts: []string{"example.com"}}, true},
		{api.Config{Addr: ":0", Tokens: file}, false},
		{api.Config{Addr: ":0", InsecureOpen: true}, false},
		{api.Config{Addr: "127.0.0.1:0"}, false},
		{api.Config{Addr: "localhost:0"}, false},
	} {
		a, err := api.New(log, tt.cfg, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Listen(t.Context()); errors.Is(err, api.ErrOpen) != tt.open || !tt.open && err != nil {
			t.Errorf("Listen with %+v = %v, want ErrOpen %t", tt.cfg, err, tt.open)
		}
		over, stop := context.WithCancel(t.Context())
		stop()
		if err := a.Run(over); (err != nil) != tt.open { // it closes the listener
			t.Errorf("Run with %+v = %v", tt.cfg, err)
		}
	}
	if _, err := api.New(log, api.Config{Tokens: "none.yml"}, slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("a file of tokens that is missing is no error")
	}
}

// Without tokens nothing but the Host header tells a page of another site from ours; with them its
// browser has none to give.
func TestAForeignNameIsRefusedBeyondLoopbackWhereThereAreNoTokens(t *testing.T) {
	file, secrets := keys(t)
	for _, tt := range []struct {
		cfg  api.Config
		want int
	}{
		{api.Config{Addr: "0.0.0.0:0", InsecureOpen: true}, http.StatusForbidden},
		{api.Config{Addr: "0.0.0.0:0", InsecureOpen: true, Hosts: []string{"tasks.example.com"}}, http.StatusOK},
		{api.Config{Addr: "0.0.0.0:0", Tokens: file}, http.StatusOK},
		{api.Config{Addr: "0.0.0.0:0", Tokens: file, Hosts: []string{"other.example.com"}}, http.StatusForbidden},
	} {
		conn, err := eventlog.Connect(testredis.Embedded(t))
		if err != nil {
			t.Fatal(err)
		}
		h := serve(t, conn, tt.cfg, 1)
		at := netip.MustParseAddrPort(strings.TrimPrefix(strings.Replace(h.base, "[::]", "127.0.0.1", 1), "http://"))
		h.base = "http://" + netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port()).String()
		h.must(tt.want, h.do(http.MethodGet, "/healthz", "", append(bearer(secrets["all"]), "Host", "tasks.example.com")...))
	}
}
