package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/pause"
)

// server is the redis-server under the services. What it acknowledges it has written to its disk.
type server struct {
	dir  string
	addr string
	port int
	out  *os.File
	rdb  *redis.Client // past the network

	mu  sync.Mutex
	cmd *exec.Cmd
}

func startServer(ctx context.Context, dir string) (*server, error) {
	redis.SetLogger(silent{}) // that Redis is away now and then is no news here
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	out, err := os.Create(dir + "/redis.log")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, port: port, addr: "127.0.0.1:" + strconv.Itoa(port), out: out}
	s.rdb = redis.NewClient(&redis.Options{
		Addr: s.addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: time.Second, ReadTimeout: 2 * time.Second,
		DisableIdentity: true,
	})
	if err := s.launch(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// launch starts Redis and waits until it has loaded its data.
func (s *server) launch(ctx context.Context) error {
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir, //nolint:noctx // it ends by close
		"--save", "", "--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.out, s.out, private()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server (`make deps` installs it): %w", err)
	}
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
	if !until(ctx, 30*time.Second, func() bool { return s.rdb.Ping(ctx).Err() == nil }) {
		return errors.New("redis-server does not answer: see redis.log")
	}
	return nil
}

// signal sends a signal to Redis.
func (s *server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

// shutdown ends Redis in good order.
func (s *server) shutdown(ctx context.Context) error { return s.rdb.ShutdownNoSave(ctx).Err() }

// kill ends Redis where it stands.
func (s *server) kill(context.Context) error {
	s.signal(syscall.SIGKILL)
	return nil
}

// wait waits for the end of Redis.
func (s *server) wait() {
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	if cmd != nil {
		_ = cmd.Wait() // by a signal, or in good order
	}
}

// insist asks until Redis has answered, or ctx ends.
func (s *server) insist(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return err
		}
		pause.For(ctx, 50*time.Millisecond)
	}
}

func (s *server) close() {
	_ = s.rdb.Close()
	s.signal(syscall.SIGCONT)
	s.signal(syscall.SIGTERM)
	s.wait()
	_ = s.out.Close()
}

// silent is a logger of go-redis that says nothing.
type silent struct{}

// Printf says nothing.
func (silent) Printf(context.Context, string, ...any) {}

// freePort returns a port of the loopback interface that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
