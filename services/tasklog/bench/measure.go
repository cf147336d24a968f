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

// startServer starts a redis-server on a free port, with or without an append-only file.
func startServer(ctx context.Context, aof bool) (*server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
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
	s.cmd = exec.CommandContext(ctx, "redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--save", "", "--appendonly", appendonly, "--dir", dir)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start redis-server (`make deps` installs it): %w", err)
	}
	s.rdb = redis.NewClient(&redis.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port), Protocol: 2})
	for s.rdb.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return s, nil
}

// startLog starts a redis-server and opens a new log in it. shut ends both.
func startLog(ctx context.Context, aof bool) (srv *server, log *eventlog.Log, shut func(), err error) {
	if srv, err = startServer(ctx, aof); err != nil {
		return nil, nil, nil, err
	}
	conn, err := eventlog.Connect(srv.url)
	if err != nil {
		srv.stop()
		return nil, nil, nil, err
	}
	shut = func() { _ = conn.Close(); srv.stop() } // the benchmark is over
	if log, err = eventlog.Open(ctx, conn, eventlog.Config{}); err != nil {
		shut()
		return nil, nil, nil, err
	}
	return srv, log, shut, nil
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
	client time.Duration // CPU of this process: every service and the producer
}

// spent reads the clocks of Redis' main thread and of this process.
func (s *server) spent(ctx context.Context) (usage, error) {
	info, err := s.rdb.Info(ctx, "cpu").Result()
	if err != nil {
		return usage{}, err
	}
	u := usage{at: time.Now()}
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if key == "used_cpu_sys_main_thread" || key == "used_cpu_user_main_thread" {
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return usage{}, fmt.Errorf("INFO cpu: %s: %w", key, err)
			}
			u.redis += time.Duration(seconds * float64(time.Second))
		}
	}
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return usage{}, err
	}
	u.client = time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	return u, nil
}

// commands prints how often and how long each command ran for a task; those in scripts count, too.
func (s *server) commands(ctx context.Context, tasks float64) error {
	info, err := s.rdb.Info(ctx, "commandstats").Result()
	if err != nil {
		return err
	}
	more, err := s.rdb.Info(ctx, "cpu", "stats").Result()
	if err != nil {
		return err
	}
	for line := range strings.Lines(more) {
		if strings.Contains(line, "main_thread") || strings.HasPrefix(line, "total_") && strings.Contains(line, "processed") {
			fmt.Fprint(os.Stderr, line)
		}
	}
	for line := range strings.Lines(info) {
		var calls, usec float64
		name, stats, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":")
		if _, err := fmt.Sscanf(stats, "calls=%f,usec=%f", &calls, &usec); err == nil && calls > tasks/1000 {
			fmt.Fprintf(os.Stderr, "%-12s %6.3f calls  %6.2f µs\n", name, calls/tasks, usec/tasks)
		}
	}
	return nil
}

// median returns the row with the median of Redis' CPU.
func median(rows []row) row {
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.RedisMicros, b.RedisMicros) })
	return rows[len(rows)/2]
}
