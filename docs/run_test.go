package docs_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// buildLine is how the Dockerfile builds the binary.
var buildLine = regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 go build .*) -o /tasklog (\./services/tasklog)$`)

// scratch is the folder of built, once there is one.
var scratch string

// built is the folder with the programs of the docs: the binary as the Dockerfile builds it, from the
// files that the Docker client sends, and the examples.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tasklog-docs-")
	if err != nil {
		return "", err
	}
	scratch = dir
	dockerfile, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return dir, err
	}
	m := buildLine.FindStringSubmatch(string(dockerfile))
	if m == nil {
		return dir, fmt.Errorf("the Dockerfile has no line like %s", buildLine)
	}
	src := filepath.Join(dir, "src")
	if err := copyContext(src); err != nil {
		return dir, err
	}
	for _, b := range []struct{ dir, line string }{
		{src, m[1] + " -o " + dir + "/tasklog " + m[2]},
		{root, "CGO_ENABLED=0 go build -trimpath -o " + dir + "/ ./docs/examples/..."},
	} {
		cmd := exec.Command("sh", "-c", b.line)
		cmd.Dir, cmd.Env = b.dir, append(os.Environ(), "VERSION=v0.0.0-docs")
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("%s: %w: %s", b.line, err, out)
		}
	}
	return dir, nil
})

// copyContext copies what .dockerignore lets through: the folders and files that it names after a "!",
// but what a pattern that begins with **/ matches.
func copyContext(to string) error {
	ignore, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	if err != nil {
		return err
	}
	var wanted, unwanted []string
	for line := range strings.Lines(string(ignore)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "!"); ok {
			wanted = append(wanted, name)
		} else if pattern, ok := strings.CutPrefix(line, "**/"); ok {
			unwanted = append(unwanted, pattern)
		}
	}
	for _, name := range wanted {
		err := filepath.Walk(filepath.Join(root, name), func(path string, info os.FileInfo, err error) error {
			if err != nil {
				return err
			}
			for _, pattern := range unwanted {
				if ok, err := filepath.Match(pattern, info.Name()); err != nil || ok {
					if info.IsDir() {
						return filepath.SkipDir
					}
					return err
				}
			}
			target := filepath.Join(to, strings.TrimPrefix(path, root))
			if info.IsDir() {
				return os.MkdirAll(target, 0o700)
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
				return err
			}
			return os.WriteFile(target, data, 0o600)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// programs returns the folder of built.
func programs(t *testing.T) string {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// environ is the environment without settings of Tasklog, and with more.
func environ(more ...string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TASKLOG_") {
			env = append(env, v)
		}
	}
	return append(env, more...)
}

// tasklog runs the binary in a folder, to its end.
func tasklog(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(programs(t), "tasklog"), args...)
	cmd.Dir, cmd.Env = dir, environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// house is a reader's folder, with what runs in it.
type house struct {
	dir  string // has bin/ and data/, as the root of a clone after `make run`
	addr string // host:port of the API
	stop func()
}

// newHouse makes a folder in which nothing runs.
func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), stop: func() {}}
	if err := os.Symlink(programs(t), filepath.Join(h.dir, "bin")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.stop() })
	return h
}

// dev does as `make run` with these variables does, but on a free port.
func (h *house) dev(t *testing.T, args ...string) {
	t.Helper()
	h.stop()
	p := h.start(t, []string{"TASKLOG_ADDR=127.0.0.1:0"}, "bin/tasklog", append([]string{"dev"}, args...)...)
	h.stop = p.stop
	h.addr = strings.TrimSuffix(p.says(t, `API +http://(\S+)/api/tasks`), "/")
	p.says(t, "Ctrl-C stops it")
}

// process is a program that runs until it is told to stop.
type process struct {
	lines <-chan string
	stop  func()
}

// start starts a program. The test stops what it leaves running.
func (h *house) start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(h.dir, name), args...) //nolint:noctx // stop ends it
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = h.dir, environ(env...), w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the child has its own
	lines := make(chan string, 10_000)
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	var once sync.Once
	p := &process{lines: lines, stop: func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s %s: %v", name, args, err)
			}
			<-read
			_ = r.Close()
		})
	}}
	t.Cleanup(p.stop)
	return p
}

// says waits for a line that matches, and returns its last group.
func (p *process) says(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var said []string
	for late := time.After(30 * time.Second); ; {
		select {
		case line, ok := <-p.lines:
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

// redisURL is where the Redis of the house is.
func (h *house) redisURL(t *testing.T) string {
	t.Helper()
	url, err := os.ReadFile(filepath.Join(h.dir, "data", "redis.url"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(url))
}

// run runs a block of shell commands in the house, and returns what they print on a terminal.
func (h *house) run(t *testing.T, script string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	script = strings.NewReplacer(
		"127.0.0.1:3000", h.addr,
		"go run ./docs/examples/", "bin/",
		"docker compose exec redis redis-cli", "redis-cli -u "+h.redisURL(t),
		"docker compose exec api /tasklog", "bin/tasklog",
	).Replace(script)
	cmd := exec.CommandContext(ctx, "sh", "-e", "-c", script)
	cmd.Dir, cmd.Env = h.dir, environ("FAKETTY=1") // redis-cli then prints as it does to people
	out, err := cmd.CombinedOutput()
	return string(out), err
}
