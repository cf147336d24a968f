package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/pause"
)

// process is a service that is started again whenever it ends.
type process struct {
	name, service string // such as worker-2, worker
	binary, dir   string
	args, env     []string
	tally         *tally
	troubles      *troubles

	turn sync.Mutex // of the fault that it is subject to

	mu     sync.Mutex
	cmd    *exec.Cmd // nil between two runs
	starts int
	crash  string // what the next start is told to die at
}

// run keeps the process running until ctx ends; then it stops it.
func (p *process) run(ctx context.Context) error {
	file, err := os.Create(p.dir + "/" + p.name + ".log")
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // what matters of it was read meanwhile
	for ctx.Err() == nil {
		if err := p.once(ctx, &output{process: p, file: file}); err != nil {
			return err
		}
		pause.For(ctx, 20*time.Millisecond)
	}
	return nil
}

// once starts the process and waits for its end.
func (p *process) once(ctx context.Context, out *output) error {
	p.mu.Lock()
	cmd := exec.Command(p.binary, p.args...) //nolint:noctx // stopped in good order below
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.dir, out, out, private()
	cmd.Env = append(os.Environ(), p.env...)
	worker := fmt.Sprintf("%s.%d", p.name, p.starts)
	cmd.Env = append(cmd.Env, crashpoint.Variable+"="+p.crash, "TASKLOG_WORKER_ID="+worker)
	p.crash = ""
	err := cmd.Start()
	if err == nil {
		p.cmd = cmd
		p.starts++
	}
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	var late *time.Timer
	stopped := make(chan struct{})
	unhook := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late = time.AfterFunc(20*time.Second, func() {
			p.tally.alarm(p.name, "it did not end within 20 s of SIGTERM")
			_ = cmd.Process.Kill()
		})
	})
	err = cmd.Wait()
	p.troubles.end(worker)
	p.mu.Lock()
	p.cmd = nil
	p.mu.Unlock()
	if !unhook() {
		<-stopped
		late.Stop()
	}
	if cmd.ProcessState.Exited() && err != nil {
		p.tally.giveUp() // no harm: it is started again
	}
	return nil
}

// signal sends a signal, if the process runs.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		_ = p.cmd.Process.Signal(s)
	}
}

// started is how often it was started.
func (p *process) started() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// restart ends the process by a signal and waits until it was started again.
func (p *process) restart(ctx context.Context, s syscall.Signal) {
	before := p.started()
	p.signal(s)
	until(ctx, 30*time.Second, func() bool { return p.started() > before })
}

// crashAt starts the process anew so that it dies at the n-th hit of a point, and waits for that, for as
// long as patience. If it does not die by then, it may still do so later.
func (p *process) crashAt(ctx context.Context, point crashpoint.Point, nth int, s syscall.Signal, patience time.Duration) bool {
	before := p.tally.hits(point)
	p.mu.Lock()
	p.crash = fmt.Sprintf("%s:%d", point, nth)
	p.mu.Unlock()
	p.restart(ctx, s)
	return until(ctx, patience, func() bool { return p.tally.hits(point) > before })
}

// output keeps what a process says, and hears what matters. It belongs to the goroutine that copies.
type output struct {
	*process
	file io.Writer
	rest []byte // of a line that is not complete
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.rest = append(o.rest, b...)
	for {
		line, rest, found := bytes.Cut(o.rest, []byte("\n"))
		if !found {
			break
		}
		o.hear(string(line))
		o.rest = rest
	}
	return o.file.Write(b)
}

func (o *output) hear(line string) {
	if point, ok := strings.CutPrefix(line, crashpoint.Last); ok {
		o.tally.hit(crashpoint.Point(point))
	}
	for _, bad := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
		if strings.Contains(line, bad) {
			o.tally.alarm(o.name, line)
		}
	}
}

// until asks every 5 ms whether it is so, for as long as limit, and returns whether it was.
func until(ctx context.Context, limit time.Duration, so func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !so() {
		if ctx.Err() != nil {
			return false
		}
		pause.For(ctx, 5*time.Millisecond)
	}
	return true
}
