// Package testredis gives tests a Redis of their own: a real server on a free port, or the
// embedded one. Nothing is shared between tests, and each stops what it started.
package testredis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// Server is a redis-server that a test started. It keeps no data on disk unless its arguments say so.
type Server struct {
	port int
	dir  string
	args []string
	cmd  *exec.Cmd
	rdb  *redis.Client

	sentinel string // its file, if it is one
}

// Start starts a redis-server, or a valkey-server, with args after ours. The test fails when there
// is none. The server stops when the test ends.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	return start(t, &Server{port: freePort(t), dir: t.TempDir(), args: args})
}

func start(t testing.TB, s *Server) *Server {
	t.Helper()
	s.rdb = redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, Protocol: 2})
	s.launch(t)
	t.Cleanup(func() {
		_ = s.rdb.Close()
		s.Kill()
	})
	return s
}

// freePort returns a port that nobody listens on. It is below those that connections get at their other end: they keep
// one for a minute after their end, and a server that starts again could not have it.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10_000 + rand.IntN(22_000)
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("there is no free port")
	return 0
}

func (s *Server) launch(t testing.TB) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if binary, err = exec.LookPath("valkey-server"); err != nil {
			t.Fatal("neither redis-server nor valkey-server is on the PATH: `make deps` installs one")
		}
	}
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--save", "", "--appendonly", "no", "--enable-debug-command", "local",
	}, s.args...)
	if s.sentinel != "" {
		args = []string{s.sentinel, "--sentinel", "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir}
	}
	s.cmd = exec.Command(binary, args...) //nolint:noctx // it lives until the test ends
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for s.rdb.Ping(ctx).Err() != nil { // refused at once until it listens
		if ctx.Err() != nil {
			t.Fatal("redis-server does not answer")
		}
		tick := time.NewTimer(2 * time.Millisecond)
		<-tick.C
	}
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is what eventlog.Connect takes.
func (s *Server) URL() string { return fmt.Sprintf("redis://%s/0", s.Addr()) }

// Client is a plain client of the server, closed when the test ends.
func (s *Server) Client() *redis.Client { return s.rdb }

// Set gives a setting of the server another value.
func (s *Server) Set(t testing.TB, name, value string) {
	t.Helper()
	if err := s.rdb.ConfigSet(t.Context(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
}

// Pid is the process id of the server.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Pause stops the server where it stands, until Resume.
func (s *Server) Pause() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// Kill ends the server by SIGKILL and waits for its end.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Missed returns when somebody has tried in vain to reach the server, which was killed.
func (s *Server) Missed(t testing.TB) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: s.port})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nobody listens any more
	if err := l.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatalf("nobody tried: %v", err)
	}
	_ = c.Close() // as a server that is not there yet
}

// Restart starts the server again on the same port and folder, after ending it if it still runs.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.launch(t)
}

// Embedded starts the embedded Redis and returns its URL. Its TTLs pass in real time.
func Embedded(t testing.TB) string {
	t.Helper()
	m := miniredis.RunT(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		const step = 50 * time.Millisecond
		tick := time.NewTicker(step)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				m.FastForward(step)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-done
	})
	return "redis://" + m.Addr() + "/0"
}

// Each runs a test on a real server and on the embedded one.
func Each(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("redis", func(t *testing.T) { f(t, Start(t).URL()) })
	t.Run("miniredis", func(t *testing.T) { f(t, Embedded(t)) })
}
