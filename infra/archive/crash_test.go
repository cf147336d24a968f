package archive_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/crashpoint/crashtest"
	"github.com/tasklog/tasklog/infra/testredis"
)

// A program that archives, and dies where it is told to.
const program = `package main

import (
	"context"
	"os"
	"time"

	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func main() {
	ctx := context.Background()
	conn, err := eventlog.Connect(os.Args[1])
	check(err)
	log, err := eventlog.Open(ctx, conn, eventlog.Config{})
	check(err)
	a, err := archive.Create(ctx, os.Args[2], "tasklog")
	check(err)
	cfg := archive.Config{MaxEntries: 50, All: true, Lag: time.Millisecond}
	for _, p := range log.Partitions() {
		_, err := a.Write(ctx, log, p, cfg)
		check(err)
		if len(os.Args) > 3 {
			_, err = a.Trim(ctx, log, p, archive.Retention{Events: 20})
			check(err)
		}
	}
}

func check(err error) {
	if err != nil {
		println(err.Error())
		os.Exit(1)
	}
}
`

// died runs the program, which must die at a point.
func died(t *testing.T, binary, at string, args ...string) {
	t.Helper()
	out, err := crashtest.Run(t, binary, at, args...)
	if !crashtest.Killed(err) || !strings.Contains(out, crashpoint.Last) {
		t.Fatalf("%s: it did not die there: %v\n%s", at, err, out)
	}
}

func TestAnArchiverThatIsKilledAnywhereLeavesNoTraceAfterTheNextRun(t *testing.T) {
	url := testredis.Start(t).URL()
	log := filled(t, url, 2, 120)
	alone := t.TempDir()
	write(t, create(t, alone), log, small)
	want := files(t, alone)
	binary := crashtest.Build(t, "chaos", program)
	for _, point := range []crashpoint.Point{
		crashpoint.ArchiveSegmentWritten, crashpoint.ArchiveParquetWritten, crashpoint.ArchiveBeforeManifest, crashpoint.ArchiveAfterManifest,
	} {
		for _, nth := range []string{"", ":3", ":6"} {
			dir := t.TempDir()
			died(t, binary, string(point)+nth, url, dir)
			for _, p := range log.Partitions() {
				if r, err := create(t, dir).Verify(t.Context(), p.N); err != nil || !r.OK() {
					t.Errorf("%s%s: %+v, %v", point, nth, r, err)
				}
			}
			write(t, create(t, dir), log, small)
			if got := files(t, dir); !reflect.DeepEqual(got, want) {
				t.Errorf("%s%s: %d files, and an undisturbed run writes %d", point, nth, len(got), len(want))
			}
		}
	}
}
