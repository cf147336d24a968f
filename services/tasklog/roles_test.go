package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/asof"
)

// roles is a Redis with TLS and the users of infra/redis/users.acl, each of whom has its own name for
// a password. The default user, whom the file turns off, is ours.
type roles struct {
	*testing.T
	redis *testredis.Server
	certs testredis.Certificates
	addr  string // with TLS
	users []string
}

// A user is one of infra/redis/users.acl, and what that user may do.
type user struct{ name, rules string }

// usersOf reads the file.
func usersOf(t *testing.T) (list []user) {
	t.Helper()
	acl, err := os.ReadFile("../../infra/redis/users.acl")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(acl), "user default off\n") {
		t.Errorf("the file leaves the default user on")
	}
	for _, m := range regexp.MustCompile(`(?m)^user (\S+) on (.*)$`).FindAllStringSubmatch(string(acl), -1) {
		list = append(list, user{m[1], m[2]})
	}
	return list
}

func buildRoles(t *testing.T) *roles {
	t.Helper()
	r := &roles{T: t, certs: testredis.NewCertificates(t)}
	var lines []string
	for _, u := range usersOf(t) {
		r.users = append(r.users, u.name)
		lines = append(lines, fmt.Sprintf("user %s on %s >%s", u.name, u.rules, u.name))
	}
	lines = append(lines, "user default on nopass ~* &* +@all", "")
	file := filepath.Join(t.TempDir(), "users.acl")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	r.redis, r.addr = testredis.StartTLS(t, r.certs, "--aclfile", file, "--appendonly", "yes")
	return r
}

// url is how a user reaches Redis, over TLS.
func (r *roles) url(user string) string {
	q := url.Values{"ca": {r.certs.CA}, "cert": {r.certs.Cert}, "key": {r.certs.Key}}
	return fmt.Sprintf("rediss://%s:%s@%s/0?%s", user, user, r.addr, q.Encode())
}

// as returns a client of a user.
func (r *roles) as(user string) *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Addr: r.redis.Addr(), Username: user, Password: user, MaxRetries: -1, Protocol: 2, DisableIdentity: true,
	})
	r.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// denied is what Redis refused to users since the last call.
func (r *roles) denied() (list []string) {
	r.Helper()
	entries, err := r.redis.Client().ACLLog(r.Context(), 100).Result()
	if err != nil {
		r.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, fmt.Sprintf("%s: %s %s in %s", e.Username, e.Reason, e.Object, e.Context))
	}
	if err := r.redis.Client().ACLLogReset(r.Context()).Err(); err != nil {
		r.Fatal(err)
	}
	return list
}

// Every service does all of its work under its own user and over TLS, and what a task carries is in
// Redis and nowhere else: not in the logs, not even when everything is logged and things go wrong.
func TestEveryServiceWorksAsItsOwnUserAndLogsNoPayload(t *testing.T) {
	const marker = "s3cret-marker"
	r := buildRoles(t)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		if req.Header.Get("Tasklog-Task-Name") == "break" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write(body) // as many a server does, also with what it refuses
	}))
	defer web.Close()
	dir := t.TempDir()
	handlers := "allow: [127.0.0.1]\ntargets:\n  '*':\n    url: " + web.URL + "/\n"
	if err := os.WriteFile(filepath.Join(dir, "handlers.yml"), []byte(handlers), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(user string) []string {
		return []string{
			"TASKLOG_REDIS_URL=" + r.url(user), "TASKLOG_ADDR=127.0.0.1:0", "TASKLOG_HEALTH_ADDR=127.0.0.1:0", "TASKLOG_LOG_LEVEL=debug",
			"TASKLOG_LOG_FORMAT=json", "TASKLOG_LEASE_TTL=3s", "TASKLOG_RELAY_TYPES=TaskRequested,TaskCompleted", "TASKLOG_RECONCILE_EVERY=100ms", "TASKLOG_PARTITIONS=2", "TASKLOG_RETENTION_COUNT=1000",
		}
	}
	running := map[string]*process{}
	start := func(user string, args ...string) *process {
		p := launch(t, dir, env(user), args...)
		running[args[0]] = p
		return p
	}
	base := "http://" + start("api", "api").says(t, `"the API listens".*"addr":"([^"]+)"`)
	start("scheduler", "scheduler")
	start("worker", "worker", "--handlers", "handlers.yml")
	start("projector", "projector")
	start("archiver", "archive", "keep", "--watch", "1s", "--all", "--lag", "1ms")
	start("relay", "relay", "--to", web.URL+"/hook", "--allow", "127.0.0.1")

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path, body string, want int) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s %s: %s %s, %v", method, path, resp.Status, answer, err)
		}
		return string(answer)
	}
	task := func(name, id, more string) {
		t.Helper()
		ask(http.MethodPost, "/api/tasks", fmt.Sprintf(`{"taskName":%q,"customJobId":%q,"payload":{"password":%q}%s}`, name, id, marker, more), http.StatusAccepted)
	}
	log := openLog(t, r.redis.URL())
	task("work", "done", "")
	task("break", "failed", `,"maxAttempts":2,"backoff":{"type":"fixed","delayMs":1}`)
	task("work", "later", `,"delayMs":300`)
	task("work", "never", `,"delayMs":3600000`)
	ask(http.MethodPost, "/api/tasks/never/cancel", `{"reason":"no"}`, http.StatusOK)
	ask(http.MethodPost, "/api/tasks/never/cancel", `{"reason":`, http.StatusBadRequest)
	ask(http.MethodPost, "/api/tasks", `{"taskName":"work","payload":"`+marker+`"`, http.StatusBadRequest)
	ask(http.MethodPost, "/api/tasks", `{"taskName":"work","priority":-1,"payload":"`+marker+`"}`, http.StatusUnprocessableEntity)
	for _, id := range []string{"done", "failed", "later", "never"} {
		history(t, log, id)
	}
	ask(http.MethodPost, "/api/tasks/failed/retry", "", http.StatusOK)
	ask(http.MethodPost, "/api/queues/default/pause", "", http.StatusOK)
	ask(http.MethodPost, "/api/queues/default/resume", "", http.StatusOK)
	if got := ask(http.MethodGet, "/api/tasks/done", "", http.StatusOK); !strings.Contains(got, marker) {
		t.Errorf("the result does not hold what the server answered: %s", got)
	}
	for _, path := range []string{"/api/tasks", "/api/queues", "/api/throughput", "/api/queues/default/names", "/api/workers", "/api/system", "/admin/queues", "/admin/queues/tasks/done", "/readyz"} {
		ask(http.MethodGet, path, "", http.StatusOK)
	}

	// Who may only read can see everything, and nothing else.
	for _, args := range [][]string{{"queues"}, {"task", "done"}, {"tail", "--follow=false"}, {"at", "now", "task", "done"}, {"diff", "-1h", "now"}, {"verify"}, {"health", "--redis", r.url("readonly")}} {
		if out, err := tasklog(t, dir, env("readonly"), args...); err != nil {
			t.Errorf("readonly: %v: %v: %s", args, err, out)
		}
	}
	p := log.Partitions()[0] // so short a log has no snapshot of itself
	if end, err := log.Last(t.Context(), p); err != nil {
		t.Error(err)
	} else if _, err := past.New(openLog(t, r.url("projector"))).Keep(t.Context(), p, end, new(asof.View).Encode()); err != nil {
		t.Errorf("a snapshot as projector: %v", err)
	}
	if out, err := tasklog(t, dir, env("projector"), "replay"); err != nil {
		t.Errorf("replay as projector: %v: %s", err, out)
	}
	if out, err := tasklog(t, dir, env("rebuilder"), "replay", "--state"); err != nil {
		t.Errorf("replay --state as rebuilder: %v: %s", err, out)
	}
	for _, more := range []string{"", "--clone"} {
		args := append([]string{"copy", "--to", r.url("copier"), "--to-prefix", "tasklog:copy", "--partitions", "2"}, strings.Fields(more)...)
		if out, err := tasklog(t, dir, env("copier"), args...); err != nil {
			t.Errorf("copy as copier: %v: %s", err, out)
		}
	}
	if out, err := tasklog(t, dir, env("archiver"), "archive", "keep", "--all", "--lag", "1ms", "--retain-events", "1", "--retain-bytes", "1"); err != nil {
		t.Errorf("archive as archiver: %v: %s", err, out)
	}
	if err := testredis.Retire(t.Context(), openLog(t, r.url("scheduler")), 1); err != nil { // it waits a minute by itself
		t.Errorf("rows go as scheduler: %v", err)
	}
	if list := r.denied(); len(list) != 0 {
		t.Errorf("Redis refused:\n%s", strings.Join(list, "\n"))
	}
	if _, err := tasklog(t, dir, env("readonly"), "enqueue", "work"); err == nil {
		t.Error("readonly asked for a task")
	}
	if list := r.denied(); len(list) == 0 {
		t.Error("Redis refused readonly nothing")
	}
	for name, p := range running {
		p.terminate(t)
		if said := p.everything(); strings.Contains(said, marker) || strings.Contains(said, "rediss://"+name) {
			t.Errorf("%s logs a payload or a password:\n%s", name, said)
		}
	}
	if list := r.denied(); len(list) != 0 {
		t.Errorf("at their end Redis refused:\n%s", strings.Join(list, "\n"))
	}
}

// refusal matches what Redis says to whom a command or a key is denied, also within a script.
var refusal = regexp.MustCompile(`NOPERM|ACL failure|The user executing the script can't`)

func TestNoUserCanDestroyTheLogOrReachOtherKeys(t *testing.T) {
	r := buildRoles(t)
	if want := []string{"api", "scheduler", "worker", "projector", "relay", "archiver", "rebuilder", "viewer", "copier", "readonly"}; !slices.Equal(r.users, want) {
		t.Fatalf("users %v, want %v", r.users, want)
	}
	for _, user := range r.users {
		rdb := r.as(user)
		if err := rdb.Ping(t.Context()).Err(); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		for _, args := range [][]any{
			{"FLUSHALL"},
			{"FLUSHDB"},
			{"CONFIG", "GET", "*"},
			{"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"},
			{"DEBUG", "SLEEP", "0"},
			{"KEYS", "*"},
			{"SHUTDOWN"},
			{"SCRIPT", "FLUSH"},
			{"FUNCTION", "FLUSH"},
			{"MIGRATE", "127.0.0.1", "1", "k", "0", "1"},
			{"ACL", "LIST"},
			{"REPLICAOF", "127.0.0.1", "1"},
			{"SAVE"},
			{"MONITOR"},
			{"CLIENT", "LIST"},
			{"MODULE", "LIST"},
			{"RESTORE", "tasklog:x", "0", "x"},
			{"GET", "other"},
			{"SET", "other", "x"},
			{"XADD", "other", "*", "a", "b"},
			{"HSET", "other", "a", "b"},
			{"RENAME", "tasklog:{0}:events", "tasklog:x"},
			{"XTRIM", "other", "MAXLEN", "0"},
			{"PUBLISH", "other", "x"},
			{"EVAL", "return redis.call('FLUSHALL')", "0"},
			{"EVAL", "return redis.call('GET', 'other')", "0"},
		} {
			if err := rdb.Do(t.Context(), args...).Err(); err == nil || !refusal.MatchString(err.Error()) {
				t.Errorf("%s: %v = %v, want a refusal", user, args, err)
			}
		}
	}
	for _, args := range [][]any{
		{"XADD", "tasklog:{0}:events", "*", "a", "b"},
		{"DEL", "tasklog:{0}:events"},
		{"HSET", "tasklog:meta", "a", "b"},
		{"EVAL", "return redis.call('XADD', KEYS[1], '*', 'a', 'b')", "1", "tasklog:{0}:events"},
	} {
		if err := r.as("readonly").Do(t.Context(), args...).Err(); err == nil {
			t.Errorf("readonly: %v succeeded", args)
		}
	}
	for _, args := range [][]any{
		{"HSET", "tasklog:{0}:view:head", "checkpoint", "0-0"},
		{"HSET", "tasklog:{0}:task:a", "state", "completed"},
		{"SET", "tasklog:{0}:lock:task:a", "x"},
		{"EVAL", "return redis.call('HSET', KEYS[1], 'a', 'b')", "1", "tasklog:{0}:view:queues"},
	} {
		if err := r.as("viewer").Do(t.Context(), args...).Err(); err == nil || !refusal.MatchString(err.Error()) {
			t.Errorf("viewer: %v = %v, want a refusal", args, err)
		}
	}
	for _, user := range r.users {
		if user == "scheduler" || user == "worker" || user == "projector" || user == "rebuilder" || user == "copier" {
			continue // they delete keys: locks, views, or rows
		}
		if err := r.as(user).Del(t.Context(), "tasklog:{0}:events").Err(); err == nil {
			t.Errorf("%s deletes the log", user)
		}
	}
}
