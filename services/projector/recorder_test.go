package projector_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/projector"
)

// often is a Config that makes many snapshots of short logs.
var often = projector.Config{SnapshotEvery: 100, SnapshotRatio: 1}

// record runs a projector until stop is called, or the test ends.
func record(t *testing.T, log *eventlog.Log, cfg projector.Config, logger *slog.Logger) (stop func()) {
	t.Helper()
	return runWith(t, log, cfg, logger, nil)
}

// recorded waits until there are n snapshots, and returns them, the newest first.
func recorded(t *testing.T, log *eventlog.Log, n int) (list []events.ID) {
	t.Helper()
	eventually(t, "the snapshots are made", func() bool {
		var err error
		list, err = past.New(log).List(context.Background(), log.Partitions()[0], events.MaxID, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		return len(list) >= n
	})
	return list
}

// due returns where snapshots are to be taken of a log, the newest first, and what is in them.
func due(list []events.Event, cfg projector.Config) (at []events.ID, encoded [][]byte) {
	v, begin, since := new(asof.View), list[0].ID.Ms, 0
	for _, e := range list {
		if since > 0 && since >= cfg.SnapshotRatio*v.Len() && (since >= cfg.SnapshotEvery || e.ID.Ms-begin >= cfg.SnapshotAge.Milliseconds()) {
			at, encoded = append(at, v.Last), append(encoded, v.Encode())
			begin, since = v.Last.Ms, 0
		}
		v.Apply(e)
		since++
	}
	slices.Reverse(at)
	slices.Reverse(encoded)
	return at, encoded
}

func TestTheSameSnapshotsAreMadeWhateverHappensMeanwhile(t *testing.T) {
	list := simulation.Make(simulation.Config{Seed: 31, Events: 3000, StepMs: 20}).Events
	for name, c := range map[string]struct {
		cfg  projector.Config
		play func(t *testing.T, log *eventlog.Log, p eventlog.Partition, cfg projector.Config)
	}{
		"all at once": {often, func(t *testing.T, log *eventlog.Log, p eventlog.Partition, cfg projector.Config) {
			write(t, log, p, list)
			record(t, log, cfg, quiet())
		}},
		"by time": {
			projector.Config{SnapshotEvery: 1_000_000, SnapshotAge: 2 * time.Second, SnapshotRatio: 1},
			func(t *testing.T, log *eventlog.Log, p eventlog.Partition, cfg projector.Config) {
				write(t, log, p, list)
				record(t, log, cfg, quiet())
			},
		},
		"with restarts": {often, func(t *testing.T, log *eventlog.Log, p eventlog.Partition, cfg projector.Config) {
			for some := range slices.Chunk(list, 700) {
				stop := record(t, log, cfg, quiet())
				write(t, log, p, some)
				caughtUp(t, log, p)
				stop()
			}
			record(t, log, cfg, quiet())
		}},
		"when the views are there and the snapshots are not": {often, func(t *testing.T, log *eventlog.Log, p eventlog.Partition, cfg projector.Config) {
			write(t, log, p, list[:2000])
			stop := record(t, log, cfg, quiet())
			caughtUp(t, log, p)
			stop()
			for _, id := range recorded(t, log, 0) {
				if err := log.Conn().View.Del(t.Context(), p.Snapshot(id), p.Past).Err(); err != nil {
					t.Fatal(err)
				}
			}
			record(t, log, cfg, quiet())
			write(t, log, p, list[2000:])
		}},
		"while the views are made again": {often, func(t *testing.T, log *eventlog.Log, p eventlog.Partition, cfg projector.Config) {
			write(t, log, p, list[:2000])
			record(t, log, cfg, quiet())
			if _, err := projector.Rebuild(t.Context(), log, projector.Options{}); err != nil {
				t.Fatal(err)
			}
			write(t, log, p, list[2000:])
		}},
		"with two projectors": {often, func(t *testing.T, log *eventlog.Log, p eventlog.Partition, cfg projector.Config) {
			record(t, log, cfg, quiet())
			record(t, log, cfg, quiet())
			for some := range slices.Chunk(list, 100) {
				write(t, log, p, some)
				if err := log.Conn().View.Del(t.Context(), p.View("lease")).Err(); err != nil { // whoever asks next has it
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			log := open(t, testredis.Start(t).URL(), 1)
			p := log.Partitions()[0]
			want, encoded := due(list, func() projector.Config {
				c := c.cfg
				if c.SnapshotAge == 0 {
					c.SnapshotAge = time.Hour
				}
				return c
			}())
			c.play(t, log, p, c.cfg)
			got := recorded(t, log, len(want))
			if len(want) < 3 || !slices.Equal(got, want) {
				t.Fatalf("snapshots of\n%v, want\n%v", got, want)
			}
			for i, id := range got {
				m, err := past.New(log).Nearest(t.Context(), p, id)
				if err != nil || m.After != id || !bytes.Equal(m.Encode(), encoded[i]) {
					t.Errorf("the snapshot of %s is not that of the log: %v", id, err)
				}
			}
		})
	}
}

func TestSnapshotsOfAnotherVersionAreMadeAgain(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	list := simulation.Make(simulation.Config{Seed: 32, Events: 1000}).Events
	write(t, log, p, list)
	stop := record(t, log, often, quiet())
	want, _ := due(list, projector.Config{SnapshotEvery: 100, SnapshotRatio: 1, SnapshotAge: time.Hour})
	ids := recorded(t, log, len(want))
	stop()
	rdb := log.Conn().View
	for _, id := range ids {
		if err := rdb.HSet(t.Context(), p.Snapshot(id), "version", "1").Err(); err != nil {
			t.Fatal(err)
		}
	}
	record(t, log, often, quiet())
	eventually(t, "they are of this version", func() bool {
		for _, id := range ids {
			if v, err := rdb.HGet(t.Context(), p.Snapshot(id), "version").Result(); err != nil || v != asof.Version {
				return false
			}
		}
		return true
	})
	if got := recorded(t, log, len(want)); !slices.Equal(got, want) {
		t.Errorf("snapshots of %v, want %v", got, want)
	}
}

func TestTheViewsGoOnWhereSnapshotsCannotBeMade(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	if err := log.Conn().View.Set(t.Context(), p.Past, "no zset", 0).Err(); err != nil {
		t.Fatal(err)
	}
	var said syncBuffer
	record(t, log, often, slog.New(slog.NewTextHandler(&said, nil)))
	for some := range slices.Chunk(simulation.Make(simulation.Config{Seed: 33, Events: 1000}).Events, 250) {
		write(t, log, p, some)
		caughtUp(t, log, p)
	}
	if out := said.String(); strings.Count(out, "no snapshots are made") != 1 || strings.Contains(out, "step failed") {
		t.Errorf("it said %s", out)
	}
}

func TestWhatWasRemovedFromTheLogBeforeTheFirstSnapshotIsSaidInAll(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	write(t, log, p, simulation.Make(simulation.Config{Seed: 34, Events: 1000}).Events)
	if err := log.Conn().View.XTrimMaxLen(t.Context(), p.Events, 700).Err(); err != nil {
		t.Fatal(err)
	}
	record(t, log, often, quiet())
	id := recorded(t, log, 1)[0]
	m, err := past.New(log).Nearest(t.Context(), p, id)
	if err != nil || m.Missed != 300 {
		t.Errorf("%d missed, %v; want 300", m.Missed, err)
	}
}
