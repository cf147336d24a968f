package archiver_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/archiver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// requested opens a log of two partitions with tasks a to h, whose events the views have read.
func requested(t *testing.T) *eventlog.Log {
	t.Helper()
	log := testredis.Open(t, testredis.Start(t).URL(), 2)
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		_, err := log.Request(t.Context(), eventlog.Request{Task: id, Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1}})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range log.Partitions() {
		last, err := log.Last(t.Context(), p)
		if err != nil || last.IsZero() {
			t.Fatal("a partition has no task: choose other ids", err)
		}
		if err := log.Conn().View.HSet(t.Context(), p.View("head"), "checkpoint", last.String()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

func create(t *testing.T, dir string) *archive.Archive {
	t.Helper()
	a, err := archive.Create(t.Context(), dir, "tasklog")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// all archives whatever there is, and lets one entry stay in Redis.
var all = archiver.Config{
	Every: time.Second, Segment: archive.Config{All: true, Lag: time.Nanosecond, MaxEntries: 2}, Retention: archive.Retention{Events: 1},
}

func TestAnArchiverArchivesAndTrimsUntilItIsStopped(t *testing.T) {
	log, dir := requested(t), t.TempDir()
	reg := prometheus.NewRegistry()
	s, err := archiver.New(log, create(t, dir), all, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		a, err := archive.Open(t.Context(), dir, "tasklog")
		if err != nil {
			t.Fatal(err)
		}
		var archived, left int64
		for _, p := range log.Partitions() {
			_, n, err := a.End(t.Context(), p.N)
			if err != nil {
				t.Fatal(err)
			}
			m, _ := log.Len(t.Context(), p)
			archived, left = archived+n, left+m
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if archived == 8 && left == 2 {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d are archived, and %d left", archived, left)
		case <-tick.C:
		}
	}
	stop()
	running.Wait()
	want := `
# HELP tasklog_archiver_entries_total Entries of the log archived.
# TYPE tasklog_archiver_entries_total counter
tasklog_archiver_entries_total 8
# HELP tasklog_archiver_failures_total Turns in which a partition was not archived or trimmed.
# TYPE tasklog_archiver_failures_total counter
tasklog_archiver_failures_total 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "tasklog_archiver_entries_total", "tasklog_archiver_failures_total"); err != nil {
		t.Error(err)
	}
}

func TestADamagedPartitionStopsNoOther(t *testing.T) {
	log, dir := requested(t), t.TempDir()
	keep := all
	keep.Retention = archive.Retention{}
	if _, err := archiver.Once(t.Context(), log, create(t, dir), keep); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/tasklog/p0/00000001.json"); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	s, err := archiver.New(log, create(t, dir), all, slog.New(slog.NewTextHandler(&said, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := archiver.Once(t.Context(), log, create(t, dir), all)
	if _, ok := errors.AsType[*archive.SegmentError](err); !ok || len(parts) != 2 || parts[0].Error == "" || parts[0].Trimmed != nil || parts[1].Trimmed.Entries == 0 {
		t.Errorf("%+v, %v", parts, err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	if err := s.Run(ctx); err != nil || !strings.Contains(said.String(), "00000001.json") {
		t.Errorf("%v, said %s", err, said.String())
	}
}

func TestAConfigThatCannotWorkIsRefused(t *testing.T) {
	for _, cfg := range []archiver.Config{{Every: time.Millisecond}, {Retention: archive.Retention{Events: -1}}, {Retention: archive.Retention{Age: -1}}} {
		if _, err := archiver.New(nil, nil, cfg, nil, nil); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}
