package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/testredis"
)

// quick keeps a program under the race detector from sleeping for a second at its end.
const quick = "atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	if err := os.Setenv("GORACE", quick); err != nil {
		panic(err)
	}
	testscript.Main(leakless{m}, map[string]func(){"tasklog": main})
}

// leakless fails a run that leaves a goroutine.
type leakless struct{ *testing.M }

func (m leakless) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// logs numbers the logs of the scripts: each has its own in the one Redis.
var logs atomic.Int64

// TestScripts runs the scripts of testdata/script against the real binary, each on a log of its own.
// Beyond the commands of testscript they have
//
//	exits CODE COMMAND…          run a command that must end with this code
//	start NAME PATTERN COMMAND…  run a command in the background and wait until it prints the pattern,
//	                             whose first group becomes $NAME
//	term NAME CODE               SIGTERM, and wait for its end
//	within COMMAND…              run a command until it succeeds
//	http METHOD URL STATUS [FILE]  a request, with a file as its body
//
// Output of exits, http, and of what was started is in the files stdout, stderr, reply and NAME.log.
func TestScripts(t *testing.T) {
	redis := testredis.Start(t)
	bin, err := exec.LookPath("tasklog")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", quick)
			env.Setenv("TASKLOG_REDIS_URL", redis.URL())
			env.Setenv("TASKLOG_PREFIX", "script"+strconv.FormatInt(logs.Add(1), 10))
			env.Setenv("TASKLOG_ADDR", "127.0.0.1:0")
			env.Setenv("BIN", filepath.Dir(bin))
			env.Setenv("REDIS_PORT", redis.Addr()[strings.LastIndex(redis.Addr(), ":")+1:])
			jobs := make(map[string]*job)
			env.Values["jobs"] = jobs
			env.Defer(func() {
				for _, j := range jobs {
					j.kill()
				}
			})
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "start": start, "term": term, "within": within, "http": request,
		},
	})
}

func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	name := args[0]
	if path, err := lookPath(ts, name); err == nil {
		name = path
	}
	cmd := exec.Command(name, args[1:]...) //nolint:noctx // scripts end what they start
	cmd.Dir = ts.Getenv("WORK")
	for _, v := range []string{
		"PATH", "WORK", "HOME", "TMPDIR", "TASKLOG_REDIS_URL", "TASKLOG_PREFIX", "TASKLOG_ADDR", "TASKLOG_PARTITIONS", "TASKLOG_ARCHIVE",
		"TASKLOG_REDIS_WAIT", "TASKLOG_MAX_PAYLOAD", "GORACE",
	} {
		if value := ts.Getenv(v); value != "" {
			cmd.Env = append(cmd.Env, v+"="+value)
		}
	}
	return cmd
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	cmd := command(ts, args[1:])
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	write(ts, "stdout", stdout.Bytes())
	write(ts, "stderr", stderr.Bytes())
	if got := strconv.Itoa(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("exit code %s, want %s\n%s\n%s", got, args[0], &stdout, &stderr)
	}
}

func write(ts *testscript.TestScript, name string, data []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o600))
}

// job is a command that runs in the background.
type job struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (j *job) kill() {
	_ = j.cmd.Process.Kill()
	<-j.done
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME PATTERN COMMAND…")
	}
	name, pattern := args[0], regexp.MustCompile(args[1])
	log := ts.MkAbs(name + ".log")
	out, err := os.Create(log)
	ts.Check(err)
	defer out.Close() //nolint:errcheck // the child has its own
	cmd := command(ts, args[2:])
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	j := &job{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(j.done)
		_ = cmd.Wait() // how it ended stop asks
	}()
	ts.Value("jobs").(map[string]*job)[name] = j
	poll(ts, fmt.Sprintf("%s to print %s", name, pattern), func() error {
		said, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		m := pattern.FindSubmatch(said)
		if m == nil {
			select {
			case <-j.done:
				ts.Fatalf("%s ended: %s", name, said)
			default:
			}
			return fmt.Errorf("it says %s", said)
		}
		if len(m) > 1 {
			ts.Setenv(name, string(m[1]))
		}
		return nil
	})
}

func term(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: term NAME CODE")
	}
	jobs := ts.Value("jobs").(map[string]*job)
	j := jobs[args[0]]
	delete(jobs, args[0])
	ts.Check(j.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-j.done:
	case <-time.After(20 * time.Second):
		j.kill()
		ts.Fatalf("%s did not end\n%s", args[0], ts.ReadFile(args[0]+".log"))
	}
	if got := strconv.Itoa(j.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s ended with code %s, want %s\n%s", args[0], got, args[1], ts.ReadFile(args[0]+".log"))
	}
}

func within(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: within COMMAND…")
	}
	poll(ts, strings.Join(args, " "), func() error {
		out, err := command(ts, args).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

func poll(ts *testscript.TestScript, what string, f func() error) {
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			ts.Fatalf("waited too long for %s: %v", what, err)
		}
	}
}

func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: http METHOD URL STATUS [FILE]")
	}
	var body io.Reader
	if len(args) == 4 {
		body = strings.NewReader(ts.ReadFile(args[3]))
	}
	req, err := http.NewRequest(args[0], args[1], body) //nolint:noctx // the client has a timeout
	ts.Check(err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close() //nolint:errcheck // it was read
	reply, err := io.ReadAll(resp.Body)
	ts.Check(err)
	write(ts, "reply", reply)
	if got := strconv.Itoa(resp.StatusCode); got != args[2] {
		ts.Fatalf("%s %s: status %s, want %s\n%s", args[0], args[1], got, args[2], reply)
	}
}
