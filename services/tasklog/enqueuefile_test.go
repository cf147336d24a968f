package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// feed is a `tasklog enqueue --file -` whose lines the test writes.
type feed struct {
	*exec.Cmd
	lines          *bufio.Writer
	in             io.Closer
	stdout, stderr bytes.Buffer
}

func newFeed(t *testing.T, url string, args ...string) *feed {
	t.Helper()
	f := &feed{Cmd: exec.Command("tasklog", append([]string{"enqueue", "--file", "-"}, args...)...)} //nolint:noctx // it ends with its input
	f.Env = append(os.Environ(), "TASKLOG_REDIS_URL="+url)
	in, err := f.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.lines, f.in = bufio.NewWriter(in), in
	f.Stdout, f.Stderr = &f.stdout, &f.stderr
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Process.Kill() }) // it has ended in most tests
	return f
}

// say writes line n, for a task with that number.
func (f *feed) say(n int) error {
	_, err := fmt.Fprintf(f.lines, `{"taskName":"t","customJobId":"t%d","payload":{"filling":"%0800d"}}`+"\n", n, n)
	return err
}

// end returns the exit code.
func (f *feed) end() int {
	_ = f.Wait() // the code tells
	return f.ProcessState.ExitCode()
}

func length(t *testing.T, log *eventlog.Log) int {
	t.Helper()
	n, err := log.Len(t.Context(), log.Partitions()[0])
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func TestAFileOfAHundredThousandLinesIsTakenInBoundedMemory(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	f := newFeed(t, server.URL())
	const n = 100_000
	for i := range n {
		if err := f.say(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.lines.Flush(); err != nil {
		t.Fatal(err)
	}
	_ = f.in.Close()
	if code := f.end(); code != 0 || f.stdout.String() != "100000 tasks were taken, 0 were there already, 0 lines failed.\n" {
		t.Fatalf("code %d: %s%s", code, &f.stdout, &f.stderr)
	}
	if got := length(t, openLog(t, server.URL())); got != n {
		t.Errorf("the log has %d events", got)
	}
	usage, _ := f.ProcessState.SysUsage().(*syscall.Rusage)
	if megabytes := usage.Maxrss >> 10; megabytes > 400 { // the race detector's part included
		t.Errorf("it took %d MiB for a file of 85 MiB", megabytes)
	} else {
		t.Logf("it took %d MiB", megabytes)
	}
}

// Whoever stops it is told where to go on, and what is told is so: nothing before is missing, nothing from there
// on was taken.
func TestCtrlCSaysHowManyWereTakenAndFromWhichLineToGoOn(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	log := openLog(t, server.URL())
	f := newFeed(t, server.URL())
	for i := range 3000 {
		if err := f.say(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.lines.Flush(); err != nil {
		t.Fatal(err)
	}
	for length(t, log) == 0 { // it is in the middle of it, and waits for more in the end
		continue
	}
	if err := f.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := f.end(); code != 1 {
		t.Errorf("code %d", code)
	}
	said := regexp.MustCompile(`stopped: (\d+) tasks were taken, .* Nothing from line (\d+) on was asked for; to go on: tail -n \+(\d+) FILE \|`).
		FindStringSubmatch(f.stderr.String())
	if said == nil {
		t.Fatalf("it said %s", &f.stderr)
	}
	taken, _ := strconv.Atoi(said[1])
	line, _ := strconv.Atoi(said[2])
	if got := length(t, log); taken == 0 || got != taken || line != taken+1 || said[3] != said[2] {
		t.Errorf("the log has %d events, and it said %s", got, said[0])
	}
}

func TestWhenRedisGoesInTheMiddleOfAFileItSaysWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	log := openLog(t, server.URL())
	f := newFeed(t, server.URL(), "--json")
	write := make(chan struct{})
	go func() {
		defer close(write)
		for i := 0; f.say(i) == nil; i++ { // until it listens no more
			continue
		}
	}()
	for length(t, log) < 2000 {
		continue
	}
	server.Kill()
	began := time.Now()
	if code := f.end(); code != 5 {
		t.Errorf("code %d", code)
	}
	<-write
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	said := regexp.MustCompile(`(\d+) tasks were taken, .* of lines from (\d+) on is not known`).FindStringSubmatch(f.stderr.String())
	if said == nil {
		t.Fatalf("it said %s", &f.stderr)
	}
	line, _ := strconv.Atoi(said[2])
	if answered := strings.Count(f.stdout.String(), `"duplicate":false`); said[1] != strconv.Itoa(answered) || line != answered+1 {
		t.Errorf("%d were answered, and it said %s", answered, said[0])
	}
	server.Restart(t)
	entries, err := openLog(t, server.URL()).Range(t.Context(), log.Partitions()[0], events.ID{}, events.MaxID, line-1)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if e.Task != fmt.Sprint("t", i) {
			t.Fatalf("event %d is of %s", i, e.Task)
		}
	}
	if len(entries) != line-1 {
		t.Errorf("%d of %d that were taken are there", len(entries), line-1)
	}
}
