package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// process is the real binary.
type process struct {
	cmd   *exec.Cmd
	lines chan string // of standard output and error, closed at the end
	said  []string    // those that says has seen
}

// launch starts the binary in a folder. The test kills what it leaves running.
func launch(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	cmd := exec.Command("tasklog", args...) //nolint:noctx // ended below
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the child has its own
	p := &process{cmd: cmd, lines: make(chan string, 10_000)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(p.lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			p.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has ended in most tests
		_ = cmd.Wait()
		<-read
		_ = r.Close()
	})
	return p
}

// says waits for a line that matches, and returns its first group.
func (p *process) says(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var said []string
	for late := time.After(30 * time.Second); ; {
		select {
		case line, ok := <-p.lines:
			p.said = append(p.said, line)
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
			if said = append(said, line); ok {
				continue
			}
		case <-late:
		}
		t.Fatalf("it does not say %s, but\n%s", pattern, strings.Join(said, "\n"))
	}
}

// everything is all that it said; it has ended.
func (p *process) everything() string {
	for line := range p.lines {
		p.said = append(p.said, line)
	}
	return strings.Join(p.said, "\n")
}

// terminate sends SIGTERM and returns how long the end took.
func (p *process) terminate(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v, want exit code 0", err)
	}
	return time.Since(began)
}

func post(t *testing.T, url, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("POST %s: %s %s, %v", url, resp.Status, answer, err)
	}
}

// history follows the log until a task is over, and returns its events.
func history(t *testing.T, log *eventlog.Log, task string) []events.Event {
	t.Helper()
	var list []events.Event
	var after events.ID
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		entries, err := log.Follow(t.Context(), log.Of(task), after, 100, eventlog.MaxBlock)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			after = e.ID
			if e.Err != nil {
				t.Errorf("entry %s: %v", e.ID, e.Err)
				continue
			}
			if e.Task == task {
				list = append(list, e.Event)
			}
		}
		if len(list) > 0 && events.Next(list[len(list)-1].Data).Final() {
			return list
		}
	}
	t.Fatalf("task %s does not end: %v", task, list)
	return nil
}

func openLog(t *testing.T, url string) *eventlog.Log {
	t.Helper()
	conn, err := eventlog.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestTheSeedRequestGoesThroughTheLogOnceInOrderAndNeverEarly(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, []string{"TASKLOG_REDIS_URL="}, "dev", "--addr", "127.0.0.1:0")
	api := p.says(t, `API +(http://\S+)`)
	p.says(t, "Ctrl-C stops it")
	url, err := os.ReadFile(filepath.Join(dir, "data", "redis.url"))
	if err != nil {
		t.Fatal(err)
	}
	log := openLog(t, strings.TrimSpace(string(url)))
	post(t, api, `{"taskName":"sendEmail","payload":{"userId":123,"template":"welcome"},
		"delayMs":1000,"priority":1,"customJobId":"unique-id-123"}`)

	list := history(t, log, "unique-id-123")
	var types []events.Type
	for _, e := range list {
		types = append(types, e.Data.Type())
	}
	want := []events.Type{events.TypeTaskRequested, events.TypeTaskDue, events.TypeTaskStarted, events.TypeTaskCompleted}
	if !slices.Equal(types, want) {
		t.Fatalf("events %v, want %v", types, want)
	}
	due := list[0].Data.(events.TaskRequested).DueAt
	if due != list[0].ID.Ms+1000 {
		t.Errorf("due %d ms after the request, want 1000", due-list[0].ID.Ms)
	}
	if list[1].ID.Ms < due {
		t.Errorf("TaskDue %d ms early", due-list[1].ID.Ms)
	}

	pid := child(t, log)
	if took := p.terminate(t); took > 10*time.Second {
		t.Errorf("the end took %s", took)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("redis-server (process %d) is left: %v", pid, err)
	}
}

// child is the process id of Redis.
func child(t *testing.T, log *eventlog.Log) int {
	t.Helper()
	info, err := log.Conn().View.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`process_id:(\d+)`).FindStringSubmatch(info)
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestDevIsQuietAtIdle(t *testing.T) {
	dir := t.TempDir()
	env := []string{"TASKLOG_REDIS_URL=", "TASKLOG_ADDR=127.0.0.1:0"}
	p := launch(t, dir, env, "dev")
	p.says(t, "Ctrl-C stops it")
	if out, err := tasklog(t, dir, env, "enqueue", "echo", "--wait"); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	url, err := os.ReadFile(filepath.Join(dir, "data", "redis.url"))
	if err != nil {
		t.Fatal(err)
	}
	rdb := openLog(t, strings.TrimSpace(string(url))).Conn().View
	const window = 8 * time.Second
	before := testredis.AllCalls(t, rdb)
	<-time.After(window) // what does not happen cannot be waited for
	rate := float64(testredis.AllCalls(t, rdb)-before) / window.Seconds()
	t.Logf("%.1f commands a second", rate)
	if rate >= 10 {
		t.Errorf("%.1f commands a second at idle, want fewer than 10", rate)
	}
	p.terminate(t)
}

func TestAKilledDevLeavesNoRedisAndLosesNothing(t *testing.T) {
	dir := t.TempDir()
	env := []string{"TASKLOG_REDIS_URL=", "TASKLOG_ADDR=127.0.0.1:0"}
	p := launch(t, dir, env, "dev")
	api := p.says(t, `API +(http://\S+)`)
	post(t, api, `{"taskName":"echo","payload":1,"delayMs":3600000,"customJobId":"kept"}`)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait() // it was killed

	p = launch(t, dir, env, "dev")
	p.says(t, "Ctrl-C stops it")
	out, err := tasklog(t, dir, env, "task", "kept", "--json")
	if err != nil || !strings.Contains(out, `"state":"delayed"`) {
		t.Errorf("after a kill: %s, %v", out, err)
	}
	p.terminate(t)
}

// tasklog runs a command to its end.
func tasklog(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tasklog", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	return string(out), err
}

func TestDevEndsWithTheReasonWhenItsRedisDies(t *testing.T) {
	dir := t.TempDir()
	p := launch(t, dir, []string{"TASKLOG_REDIS_URL=", "TASKLOG_ADDR=127.0.0.1:0", "TASKLOG_GRACE=1s"}, "dev")
	p.says(t, "Ctrl-C stops it")
	url, err := os.ReadFile(filepath.Join(dir, "data", "redis.url"))
	if err != nil {
		t.Fatal(err)
	}
	pid := child(t, openLog(t, strings.TrimSpace(string(url))))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.says(t, `tasklog: (redis|valkey)-server: it is gone; it said why in .*redis\.log`)
	err = p.cmd.Wait()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != exitFailure {
		t.Errorf("it ended with %v, want exit code %d", err, exitFailure)
	}
}

func TestAWorkerHandsTasksToHTTPAndARelayTellsAWebhook(t *testing.T) {
	srv := testredis.Start(t)
	hooks := make(chan string, 100)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.URL.Path == "/hook" {
			hooks <- r.Header.Get("Tasklog-Signature") + " " + string(body)
			return
		}
		if r.Header.Get("Tasklog-Task-Id") != "by-http" || r.Header.Get("X-Token") != "from-env" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = w.Write([]byte(`{"got":` + string(body) + `}`)) // the test fails without
	}))
	defer web.Close()
	dir := t.TempDir()
	file := "allow: [127.0.0.1]\ntargets:\n  send*:\n    url: " + web.URL + "/task\n    headers:\n      X-Token: ${TOKEN}\n"
	if err := os.WriteFile(filepath.Join(dir, "handlers.yml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"TASKLOG_REDIS_URL=" + srv.URL(), "TOKEN=from-env", "TASKLOG_HEALTH_ADDR=127.0.0.1:0", "TASKLOG_RELAY_SECRET=s3cret"}
	var running []*process
	for _, args := range [][]string{
		{"scheduler"}, {"worker", "--handlers", "handlers.yml"}, {"relay", "--to", web.URL + "/hook", "--allow", "127.0.0.1"},
	} {
		p := launch(t, dir, env, args...)
		p.says(t, "health server listens")
		running = append(running, p)
	}
	out, err := tasklog(t, dir, env, "enqueue", "sendEmail", "--id", "by-http", "--payload", `{"n":[1]}`, "--wait", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var o enqueued
	if err := json.Unmarshal([]byte(out), &o); err != nil || string(o.Result) != `{"got":{"n":[1]}}` {
		t.Errorf("result %s, %v", out, err)
	}
	select {
	case hook := <-hooks:
		if !strings.HasPrefix(hook, "t=") || !strings.Contains(hook, "by-http") || !strings.Contains(hook, "TaskCompleted") {
			t.Errorf("the webhook got %s", hook)
		}
	case <-time.After(30 * time.Second):
		t.Error("the webhook got nothing")
	}
	for _, p := range running {
		if took := p.terminate(t); took > 10*time.Second {
			t.Errorf("the end of %v took %s", p.cmd.Args, took)
		}
	}
}
