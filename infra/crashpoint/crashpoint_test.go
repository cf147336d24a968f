package crashpoint_test

import (
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/crashpoint/crashtest"
)

// A program that comes by a point three times.
const program = `package main

import "github.com/tasklog/tasklog/infra/crashpoint"

func main() {
	defer println("end")
	for range 3 {
		crashpoint.Hit(crashpoint.WorkerAfterTake)
		println("past")
	}
}
`

// run builds the program and runs it. It returns what the program said and how it ended.
func run(t *testing.T, tags, crash string) (string, error) {
	t.Helper()
	return crashtest.Run(t, crashtest.Build(t, tags, program), crash)
}

func TestAProgramDiesAtTheHitThatItWasToldAndRunsNothingMore(t *testing.T) {
	said, err := run(t, "chaos", string(crashpoint.WorkerAfterTake)+":2")
	if !crashtest.Killed(err) {
		t.Errorf("it ended with %v, want SIGKILL", err)
	}
	if want := "past\n" + crashpoint.Last + string(crashpoint.WorkerAfterTake) + "\n"; said != want {
		t.Errorf("it said %q, want %q", said, want)
	}
}

func TestAProgramPassesThePointsThatItWasNotToldToDieAt(t *testing.T) {
	for _, test := range []struct{ tags, crash string }{
		{"chaos", string(crashpoint.WorkerAfterStart)},
		{"chaos", ""},
		{"", string(crashpoint.WorkerAfterTake)}, // not built for it
	} {
		if said, err := run(t, test.tags, test.crash); err != nil || strings.Count(said, "past") != 3 {
			t.Errorf("with tags %q, told %q: it said %q, %v", test.tags, test.crash, said, err)
		}
	}
}
