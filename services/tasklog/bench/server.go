package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// server is the redis-server that the benchmark starts for itself.
type server struct {
	url string
	cmd *exec.Cmd
	rdb *redis.Client
	dir string
}

// freePort returns a port that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// startServer starts a redis-server on a free port, with or without an append-only file, and with more arguments.
func startServer(ctx context.Context, aof bool, more ...string) (*server, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tasklog-bench-")
	if err != nil {
		return nil, err
	}
	appendonly := "no"
	if aof {
		appendonly = "yes"
	}
	s := &server{dir: dir, url: fmt.Sprintf("redis://127.0.0.1:%d/0", port)}
	args := append([]string{
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", appendonly, "--dir", dir,
	}, more...)
	// It outlives ctx, and is in no reach of the terminal's interrupt, until what uses it is over: see stop.
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), "redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		_ = os.RemoveAll(dir) // it is empty
		return nil, fmt.Errorf("start redis-server (`make deps` installs it): %w", err)
	}
	s.rdb = redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port), Protocol: 2})
	if err := until(ctx, func() (bool, error) { return s.rdb.Ping(ctx).Err() == nil, nil }); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// open opens the log in this Redis, over a connection of its own. shut closes it.
func (s *server) open(ctx context.Context) (log *eventlog.Log, shut func(), err error) {
	conn, err := eventlog.Connect(s.url)
	if err != nil {
		return nil, nil, err
	}
	shut = func() { _ = conn.Close() } // the row is over
	if log, err = eventlog.Open(ctx, conn, eventlog.Config{}); err != nil {
		shut()
		return nil, nil, err
	}
	return log, shut, nil
}

func (s *server) stop() {
	_ = s.rdb.Close()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	_ = os.RemoveAll(s.dir)
}

// usage is what was spent up to a moment.
type usage struct {
	at     time.Time
	redis  time.Duration // CPU of Redis' main thread
	client time.Duration // CPU of every process beside it
}

// spent reads the clocks of Redis' main thread and of what runs beside it.
func (s *server) spent(ctx context.Context, beside side) (usage, error) {
	client, err := beside.cpu()
	if err != nil {
		return usage{}, err
	}
	u := usage{client: client}
	for _, mode := range []string{"sys", "user"} {
		seconds, err := s.info(ctx, "cpu", "used_cpu_"+mode+"_main_thread")
		if err != nil {
			return usage{}, err
		}
		u.redis += time.Duration(seconds * float64(time.Second))
	}
	u.at = time.Now()
	return u, nil
}

// info returns one number of a section of INFO.
func (s *server) info(ctx context.Context, section, name string) (float64, error) {
	info, err := s.rdb.Info(ctx, section).Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(info) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), ":"); key == name {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("INFO %s has no %s: is this Redis 6.2 or newer?", section, name)
}

// A command is what Redis ran under a name, those that scripts ran included.
type command struct {
	name         string
	calls, micro float64
}

// commands returns what Redis has run since it started, the most expensive first.
func (s *server) commands(ctx context.Context) ([]command, error) {
	info, err := s.rdb.Info(ctx, "commandstats").Result()
	if err != nil {
		return nil, err
	}
	var list []command
	for line := range strings.Lines(info) {
		c := command{}
		name, stats, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":")
		if _, err := fmt.Sscanf(stats, "calls=%f,usec=%f", &c.calls, &c.micro); err == nil && name != "info" {
			c.name = name
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b command) int { return cmp.Compare(b.micro, a.micro) })
	return list, nil
}
