package devredis_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/devredis"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DEVREDIS_HOLD"); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

// hold starts a Redis, says its process id and waits to be killed.
func hold(dir string) {
	s, err := devredis.Start(context.Background(), dir)
	if err != nil {
		_, _ = os.Stdout.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString("ready " + s.URL + "\n")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
	os.Exit(0)
}

func start(t *testing.T, dir string) *devredis.Server {
	t.Helper()
	s, err := devredis.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func connect(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func TestPrivateServerKeepsItsDataOverARestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	s := start(t, dir)
	if s.Kind == devredis.Embedded || s.Path == "" || s.Version == "" || s.PID == 0 {
		t.Fatalf("Start = %+v, want a server of the PATH", s)
	}
	if err := connect(t, s.URL).Set(t.Context(), "k", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}
	s.Stop()

	s = start(t, dir)
	defer s.Stop()
	if got, err := connect(t, s.URL).Get(t.Context(), "k").Result(); got != "kept" || err != nil {
		t.Errorf("after a restart k = %q, %v, want kept", got, err)
	}
	for name, want := range map[string]string{"appendonly": "yes", "maxmemory-policy": "noeviction", "bind": "127.0.0.1"} {
		if got := connect(t, s.URL).ConfigGet(t.Context(), name).Val()[name]; got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestCtrlCDoesNotReachThePrivateServer(t *testing.T) {
	s := start(t, t.TempDir())
	defer s.Stop()
	group, err := syscall.Getpgid(s.PID)
	if err != nil || group == syscall.Getpgrp() {
		t.Errorf("the server is in process group %d, %v, want another one than ours: it must end last", group, err)
	}
}

func TestURLFileIsThereWhileTheServerRuns(t *testing.T) {
	for _, embedded := range []bool{false, true} {
		if embedded {
			t.Setenv("PATH", t.TempDir())
		}
		dir := t.TempDir()
		s := start(t, dir)
		got, err := os.ReadFile(filepath.Join(dir, devredis.URLFile))
		if err != nil || strings.TrimSpace(string(got)) != s.URL {
			t.Errorf("%s: %s holds %q, %v, want %s", s.Kind, devredis.URLFile, got, err, s.URL)
		}
		s.Stop()
		if _, err := os.Stat(filepath.Join(dir, devredis.URLFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %s is still there after Stop: %v", s.Kind, devredis.URLFile, err)
		}
		select {
		case <-s.Ended():
		default:
			t.Errorf("%s: Ended is open after Stop", s.Kind)
		}
	}
}

func TestEmbeddedRedisAgesItsKeys(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s := start(t, t.TempDir())
	defer s.Stop()
	if s.Kind != devredis.Embedded {
		t.Fatalf("Kind = %s without a server on the PATH, want %s", s.Kind, devredis.Embedded)
	}
	rdb := connect(t, s.URL)
	if err := rdb.Set(t.Context(), "k", "v", 100*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	until(t, "the key to expire", func() bool { return errors.Is(rdb.Get(t.Context(), "k").Err(), redis.Nil) })
}

func TestAFolderServesOneRedisAtATime(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	if _, err := devredis.Start(t.Context(), dir); !errors.Is(err, devredis.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second Start = %v, want an ErrInUse that names %s", err, dir)
	}
	if err := connect(t, s.URL).Ping(t.Context()).Err(); err != nil {
		t.Errorf("the first server after a second Start: %v", err)
	}
	s.Stop()
	start(t, dir).Stop()
}

func TestPrivateServerEndsWithAKilledParentAndItsFolderIsFree(t *testing.T) {
	dir := t.TempDir()
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(os.Environ(), "DEVREDIS_HOLD="+dir)
	if _, err := parent.StdinPipe(); err != nil { // open until the parent is over
		t.Fatal(err)
	}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 256)
	n, err := out.Read(line)
	url, ok := strings.CutPrefix(strings.TrimSpace(string(line[:n])), "ready ")
	if !ok {
		t.Fatalf("the parent says %q, %v", line[:n], err)
	}
	rdb := connect(t, url)
	if err := rdb.Set(t.Context(), "k", "kept", 0).Err(); err != nil {
		t.Fatal(err)
	}
	orphan := runID(t, rdb)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed

	s := start(t, dir) // waits for the child of the killed parent
	defer s.Stop()
	if got, err := connect(t, s.URL).Get(t.Context(), "k").Result(); got != "kept" || err != nil {
		t.Errorf("k = %q, %v, want kept", got, err)
	}
	if s.URL != url {
		t.Errorf("it is at %s, want the port that it had: %s", s.URL, url)
	}
	if runID(t, rdb) == orphan {
		t.Error("the child of the killed parent still answers")
	}
}

// runID names one run of a server.
func runID(t *testing.T, rdb *redis.Client) string {
	t.Helper()
	info, err := rdb.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "run_id:")
	id, _, _ := strings.Cut(rest, "\r\n")
	return id
}

func TestAPortThatSomebodyTookIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	url := s.URL
	s.Stop()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", strings.TrimSuffix(strings.TrimPrefix(url, "redis://"), "/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s = start(t, dir)
	defer s.Stop()
	if s.URL == url {
		t.Errorf("it claims the port of another: %s", url)
	}
}

func TestAServerThatEndsByItselfSaysSo(t *testing.T) {
	s := start(t, t.TempDir())
	defer s.Stop()
	if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Ended():
	case <-time.After(10 * time.Second):
		t.Error("Ended is open after the server was killed")
	}
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	dir := t.TempDir()
	aof := filepath.Join(dir, "redis", "appendonlydir")
	if err := os.MkdirAll(aof, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(aof, "appendonly.aof.manifest"), []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := devredis.Start(t.Context(), dir)
	if err == nil || !strings.Contains(err.Error(), "manifest") {
		t.Errorf("Start on broken data = %v, want what redis-server says of its manifest", err)
	}
	if err := os.RemoveAll(aof); err != nil {
		t.Fatal(err)
	}
	start(t, dir).Stop()
}

func TestProgramsThatCannotServeAreSkippedAndNamed(t *testing.T) {
	bin := t.TempDir()
	for name, script := range map[string]string{
		"redis-server":  "#!/bin/sh\necho 'Redis server v=6.2.14 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64'\n",
		"valkey-server": "#!/bin/sh\nexit 3\n",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	s := start(t, t.TempDir())
	defer s.Stop()
	said := strings.Join(s.Skipped, "\n")
	if s.Kind != devredis.Embedded || !strings.Contains(said, "6.2.14 is older than 7") || !strings.Contains(said, "exit status 3") {
		t.Errorf("Start = %s, skipped %q, want the embedded one and both reasons", s.Kind, s.Skipped)
	}
}

func TestACancelledStartLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := devredis.Start(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Start = %v, want context.Canceled", err)
	}
	start(t, dir).Stop()
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}
