// Package devredis gives a developer a Redis without any setup: a private redis-server or
// valkey-server, when one is on the PATH, else the embedded one.
//
// # Files
//
//	DIR/redis/      the append-only file of the private server: kept, and used again at the next start
//	DIR/redis.log   what the private server said since its last start
//	DIR/redis.url   where the running Redis is; gone when none runs
//	DIR/lock        held by whoever uses the folder, by the private server too
//
// # Guarantees
//
// One Redis at a time uses a folder: Start returns ErrInUse to the second. A private server never
// outlives the process that started it (Linux; elsewhere it does when that process is killed).
//
// # Failure
//
// A private server that ends by itself closes Ended. The embedded one keeps nothing.
package devredis

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tasklog/tasklog/infra/pause"
)

// ErrInUse reports that another Redis uses the folder.
var ErrInUse = errors.New("in use by another process")

// Embedded is the Kind of a Server that lives in this process.
const Embedded = "embedded"

// URLFile is the name of the file that holds the URL of the running Redis.
const URLFile = "redis.url"

// Server is a Redis that runs.
type Server struct {
	// URL is redis://127.0.0.1:port/0.
	URL string
	// Kind is redis-server, valkey-server or Embedded.
	Kind string
	// Path is the program of a private server, and Version its version.
	Path, Version string
	// PID is that of a private server, and 0 for the embedded one.
	PID int
	// Skipped says why programs that are on the PATH were not used.
	Skipped []string

	dir   string
	lock  *os.File
	stop  func()
	ended chan struct{}
}

// Start starts a Redis that keeps its data under dir, which it creates, and returns when that answers.
// It returns an ErrInUse when another one uses dir. ctx ends the start; Stop ends the server.
func Start(ctx context.Context, dir string) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("folder of Redis: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of Redis: %w", err)
	}
	s := &Server{dir: dir}
	if s.lock, err = acquire(ctx, filepath.Join(dir, "lock")); err != nil {
		return nil, fmt.Errorf("folder %s: %w", dir, err)
	}
	if err := s.start(ctx); err != nil {
		_ = s.lock.Close() // it holds nothing but the lock
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	prog, skipped := find(ctx)
	if ctx.Err() != nil { // a look that was cut short found nothing
		return context.Cause(ctx)
	}
	s.Skipped = skipped
	start := s.embed
	if prog != nil {
		s.Kind, s.Path, s.Version = prog.kind, prog.path, prog.version
		start = s.spawn
	}
	if err := start(ctx); err != nil {
		return err
	}
	if err := s.publish(); err != nil {
		s.stop()
		return err
	}
	return nil
}

// publish writes the URL for other processes: whole or not at all.
func (s *Server) publish() error {
	name := filepath.Join(s.dir, URLFile)
	if err := os.WriteFile(name+".new", []byte(s.URL+"\n"), 0o600); err != nil {
		return fmt.Errorf("publish the URL of Redis: %w", err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("publish the URL of Redis: %w", err)
	}
	return nil
}

// Ended is closed when the server is over, by Stop or by itself.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// LogFile is what a private server writes.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "redis.log") }

// Stop ends the server and returns when it is over. It may be called once.
func (s *Server) Stop() {
	_ = os.Remove(filepath.Join(s.dir, URLFile)) // gone already is as good
	s.stop()
	_ = s.lock.Close() // it holds nothing but the lock
}

// acquire locks a file. A server whose parent was killed holds the lock for as long as it takes it
// to end, which is waited for.
func acquire(ctx context.Context, name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	const patience, step = time.Second, 20 * time.Millisecond
	for waited := time.Duration(0); ; waited += step {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		if !errors.Is(err, ErrInUse) || waited >= patience || ctx.Err() != nil {
			_ = f.Close() // nothing was written
			return nil, err
		}
		pause.For(ctx, step)
	}
}
