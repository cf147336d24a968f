package crashpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tasklog/tasklog/infra/crashpoint"
)

// A program that comes by a point three times.
const program = `package main

import "github.com/tasklog/tasklog/infra/crashpoint"

func main() {
	defer println("end")
	for range 3 {
		crashpoint.Hit(crashpoint.WorkerAfterLock)
		println("past")
	}
}
`

// run builds the program and runs it. It returns what the program said and how it ended.
func run(t *testing.T, tags, crash string) (string, error) {
	t.Helper()
	dir, err := os.MkdirTemp(".", "_program-") //nolint:usetesting // it must lie in the module, which it imports
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Env = append(os.Environ(), crashpoint.Variable+"="+crash)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAProgramDiesAtTheHitThatItWasToldAndRunsNothingMore(t *testing.T) {
	said, err := run(t, "chaos", string(crashpoint.WorkerAfterLock)+":2")
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v, want SIGKILL", err)
	}
	if want := "past\n" + crashpoint.Last + string(crashpoint.WorkerAfterLock) + "\n"; said != want {
		t.Errorf("it said %q, want %q", said, want)
	}
}

func TestAProgramPassesThePointsThatItWasNotToldToDieAt(t *testing.T) {
	for _, test := range []struct{ tags, crash string }{
		{"chaos", string(crashpoint.WorkerAfterStart)},
		{"chaos", ""},
		{"", string(crashpoint.WorkerAfterLock)}, // not built for it
	} {
		if said, err := run(t, test.tags, test.crash); err != nil || strings.Count(said, "past") != 3 {
			t.Errorf("with tags %q, told %q: it said %q, %v", test.tags, test.crash, said, err)
		}
	}
}
