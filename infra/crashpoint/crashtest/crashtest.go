// Package crashtest builds programs in tests, and lets them die at their crash points.
package crashtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tasklog/tasklog/infra/crashpoint"
)

// Build builds a program of one file with build tags, of which "chaos" gives it its crash points, and
// returns where it lies until the test ends.
func Build(t testing.TB, tags, source string) (binary string) {
	t.Helper()
	dir, err := os.MkdirTemp(".", "_program-") //nolint:usetesting // it must lie in the module, which it imports
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file, binary := filepath.Join(dir, "main.go"), filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-o", binary, file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// Run runs a program that is told to die at a point, in the form of crashpoint.Variable. It returns what the
// program said, and how it ended: Killed tells whether it died.
func Run(t testing.TB, binary, at string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), crashpoint.Variable+"="+at)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Killed reports whether a program ended as one that died at a point does.
func Killed(err error) bool {
	exit, ok := errors.AsType[*exec.ExitError](err)
	return ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}
