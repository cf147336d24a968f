package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/telemetry"
	"github.com/tasklog/tasklog/services/api"
	"github.com/tasklog/tasklog/services/client"
)

// errStopped is why the lines of a file ended before the file did.
var errStopped = errors.New("stopped")

// enqueueFile asks for the tasks of an NDJSON file, or of the standard input for "-". When ctx ends it reads no
// further, and still hears what became of what it had read.
func (p *program) enqueueFile(ctx context.Context, name string) error {
	cfg, err := load[config](p.settings)
	if err != nil {
		return err
	}
	f := &fileRun{program: p, name: name}
	in := p.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return &usageError{err}
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = io.TeeReader(file, f.watch(file))
	}
	c, shut, err := p.client(ctx)
	if err != nil {
		return err
	}
	defer shut()

	// A terminal or a pipe may be silent for ever: who reads it is left behind.
	text, feed := io.Pipe()
	go func() {
		_, err := io.Copy(feed, in)
		_ = feed.CloseWithError(err) // it never fails
	}()
	stop := func() { _ = feed.CloseWithError(errStopped) } // nor does this
	defer context.AfterFunc(ctx, stop)()
	for r, err := range c.EnqueueMany(context.WithoutCancel(ctx), f.tasks(api.Lines(text, cfg.withDefaults().MaxPayload))) {
		if f.err = f.hear(r, err); f.err != nil {
			stop() // before the loop is left, which waits for what reads
			break
		}
	}
	return f.end()
}

// fileRun is one run through a file.
type fileRun struct {
	*program
	name string
	bar  *progressbar.ProgressBar // nil: nobody looks

	mu   sync.Mutex
	open []api.Line // that were read and are not answered

	taken, duplicates, failed int
	err                       error // what ended it before the file did
}

// watch returns what is told of each part of a file that is read.
func (f *fileRun) watch(file *os.File) io.Writer {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 || !telemetry.IsTerminal(f.stderr) {
		return io.Discard
	}
	f.bar = progressbar.NewOptions64(info.Size(), progressbar.OptionSetWriter(f.stderr), progressbar.OptionSetDescription("enqueueing"),
		progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	return f.bar
}

// tasks are what lines ask for. One that is wrong has an empty task for it, which the client refuses in its turn.
func (f *fileRun) tasks(lines iter.Seq[api.Line]) iter.Seq[client.Task] {
	return func(yield func(client.Task) bool) {
		for line := range lines {
			f.mu.Lock()
			f.open = append(f.open, api.Line{N: line.N, Err: line.Err})
			f.mu.Unlock()
			var t client.Task
			if line.Err == nil {
				t = taskOf(line.Request)
			}
			if !yield(t) {
				return
			}
		}
	}
}

// taskOf is the task that a request of the HTTP API asks for.
func taskOf(r eventlog.Request) client.Task {
	t := client.Task{
		Name: r.Name, Queue: r.Queue, Priority: r.Priority, Delay: r.Delay, RunAt: r.RunAt, MaxAttempts: r.MaxAttempts,
		Backoff: r.Backoff, Timeout: time.Duration(r.TimeoutMs) * time.Millisecond,
	}
	if r.RequestID != "" { // else the id was made up
		t.ID = r.Task
	}
	if r.Payload != nil {
		t.Payload = r.Payload
	}
	return t
}

// hear takes the answer to the first line that is open. It returns why no more is to be heard, if so.
func (f *fileRun) hear(r client.Receipt, err error) error {
	f.mu.Lock()
	line := f.open[0]
	f.open = f.open[1:]
	f.mu.Unlock()
	if line.Err != nil {
		err = line.Err
	}
	switch {
	case errors.Is(err, errStopped):
		return fmt.Errorf("%w: %s Nothing from line %d on was asked for; to go on: %s", errStopped, f.sum(), line.N, f.rest(line.N))
	case err != nil:
		f.failed++
	case r.Duplicate:
		f.duplicates++
	default:
		f.taken++
	}
	if err != nil {
		if f.bar != nil {
			_ = f.bar.Clear()
		}
		_, _ = fmt.Fprintf(f.stderr, "line %d: %s\n", line.N, lines(err.Error())) // there is nowhere else to say it
	}
	if f.asJSON {
		if err := writeJSON(f.stdout, api.Answer{Line: line.N, Receipt: receiptOf(r), Err: err}); err != nil {
			return err
		}
	}
	if eventlog.Closed(err) {
		return fmt.Errorf("%w\n%s Line %d was not taken; once that is mended, lines from it on with a customJobId may be sent again: %s",
			err, f.sum(), line.N, f.rest(line.N))
	}
	if eventlog.Unavailable(err) {
		return fmt.Errorf("%w\n%s What became of lines from %d on is not known; those with a customJobId may be sent again: %s",
			err, f.sum(), line.N, f.rest(line.N))
	}
	return nil
}

// end says what became of all.
func (f *fileRun) end() error {
	if f.bar != nil {
		_ = f.bar.Clear()
	}
	if f.err != nil {
		return f.err
	}
	if !f.asJSON {
		var b strings.Builder
		say(&b, "%s", f.sum())
		if _, err := io.WriteString(f.stdout, b.String()); err != nil {
			return err
		}
	}
	if f.failed > 0 {
		return errSilent
	}
	return nil
}

// sum is what became of the lines so far.
func (f *fileRun) sum() string {
	return fmt.Sprintf("%s taken, %s there already, %s failed.", many(f.taken, "task was", "tasks were"), many(f.duplicates, "was", "were"),
		many(f.failed, "line", "lines"))
}

// rest is the command that sends the lines from one on.
func (f *fileRun) rest(line int) string {
	name := f.name
	if name == "-" {
		name = "FILE"
	}
	return fmt.Sprintf("tail -n +%d %s | tasklog enqueue --file -", line, name)
}
