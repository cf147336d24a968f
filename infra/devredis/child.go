package devredis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/pause"
)

// stopPatience is how long a private server may take to write what it holds before it is killed.
const stopPatience = 10 * time.Second

// errPort says that somebody took the port between our look at it and the server's.
var errPort = errors.New("the port was taken")

// spawn starts a private server and waits until it has loaded its data.
func (s *Server) spawn(ctx context.Context) error {
	for try := 1; ; try++ {
		err := s.spawnOnce(ctx, try == 1)
		if err == nil || !errors.Is(err, errPort) || try == 5 {
			return err
		}
	}
}

// spawnOnce starts the server on the port that it had the last time, if that is wanted and free: what
// ran beside it finds it again. Else on any free one.
func (s *Server) spawnOnce(ctx context.Context, again bool) error {
	last := filepath.Join(s.dir, "redis.port")
	want := "0"
	if had, err := os.ReadFile(last); again && err == nil {
		want = strings.TrimSpace(string(had))
	}
	port, err := freePort(ctx, want)
	if err != nil {
		port, err = freePort(ctx, "0")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Kind, err)
	}
	data := filepath.Join(s.dir, "redis")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return fmt.Errorf("%s: %w", s.Kind, err)
	}
	out, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Kind, err)
	}
	defer out.Close() //nolint:errcheck // the child has its own
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	cmd := exec.Command(s.Path, //nolint:noctx // Stop ends it, in its own way
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--dir", data,
		"--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
		"--maxmemory-policy", "noeviction", "--daemonize", "no")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{s.lock} // the lock is held until both have ended
	cmd.SysProcAttr = private()

	s.ended = make(chan struct{})
	if err := launch(cmd, s.ended); err != nil {
		return fmt.Errorf("start %s: %w", s.Path, err)
	}
	s.URL, s.PID = "redis://"+addr+"/0", cmd.Process.Pid
	s.stop = func() { end(cmd, s.ended) }
	if err := s.ready(ctx, addr); err != nil {
		s.stop()
		said, _ := os.ReadFile(s.LogFile()) // best effort: the error stands without
		if bytes.Contains(said, []byte("Address already in use")) {
			err = errPort
		}
		return fmt.Errorf("%s: %w\n%s", s.Path, err, tail(said, 10))
	}
	_ = os.WriteFile(last, []byte(strconv.Itoa(port)+"\n"), 0o600) // else the next start takes another port
	return nil
}

// launch starts cmd and closes ended when it is over. The goroutine keeps its thread meanwhile: the
// signal that ends the child with its parent is sent when the thread that started it ends.
func launch(cmd *exec.Cmd, ended chan<- struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(ended)
		}
	}()
	return <-started
}

// end asks the child to write what it holds and to stop, and insists after a while.
func end(cmd *exec.Cmd, ended <-chan struct{}) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // an error says that it has ended
	late := time.NewTimer(stopPatience)
	defer late.Stop()
	select {
	case <-ended:
		return
	case <-late.C:
	}
	_ = cmd.Process.Kill()
	<-ended
}

// ready waits until the server answers. One that loads a long append-only file does not answer yet.
func (s *Server) ready(ctx context.Context, addr string) error {
	rdb := redis.NewClient(&redis.Options{
		Addr: addr, MaxRetries: -1, DialerRetries: 1, Protocol: 2, DisableIdentity: true, ContextTimeoutEnabled: true,
	})
	defer rdb.Close() //nolint:errcheck // nothing was asked but how it is
	self := fmt.Sprintf("process_id:%d\r\n", s.PID)
	for {
		if rdb.Ping(ctx).Err() == nil {
			info, err := rdb.Info(ctx, "server").Result()
			if err == nil && !strings.Contains(info, self) {
				return errPort // this is another one
			}
			if err == nil {
				return nil
			}
		}
		select {
		case <-s.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
			pause.For(ctx, 5*time.Millisecond)
		}
	}
}

// freePort returns a port if nobody listens on it; "0" is any.
func freePort(ctx context.Context, port string) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // nobody connected
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tail returns the last n lines.
func tail(text []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}
