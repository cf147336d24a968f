package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAShortRunLosesAndDoublesNothing(t *testing.T) {
	dir := t.TempDir()
	p := plan{binary: filepath.Join(dir, "tasklog"), length: 25 * time.Second, seed: 1, rate: 40}
	if err := build(t.Context(), p.binary, false); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	r, err := run(t.Context(), p, dir, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	r.print(&said)
	if !r.ok() {
		t.Error(said.String())
	}
	t.Log(said.String())
}
