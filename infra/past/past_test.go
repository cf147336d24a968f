package past_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/projections/simulation"
)

func TestEveryInstantIsToldTheSameFromAnySnapshots(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := testredis.Open(t, url, 1)
		p, s := log.Partitions()[0], past.New(log)
		list := history(t, log, p, simulation.Config{Seed: 1, Events: 1000})
		dice := rand.New(rand.NewPCG(1, 1))
		for round := range 3 {
			for range 10 {
				n := 1 + dice.IntN(len(list))
				m, err := s.Moment(t.Context(), p, list[n-1].ID)
				if err != nil {
					t.Fatal(err)
				}
				same(t, m, list[:n])
			}
			for range 1 + 5*round {
				keep(t, log, p, list[:1+dice.IntN(len(list))])
			}
		}
	})
}

func TestNoMoreIsReadThanWhatFollowsTheNearestSnapshot(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	list := history(t, log, p, simulation.Config{Seed: 2, Events: 500})
	keep(t, log, p, list[:100])
	at := keep(t, log, p, list[:300])
	keep(t, log, p, list[:400])
	for n, want := range map[int]events.ID{50: {}, 100: list[99].ID, 299: list[99].ID, 300: at, 399: at, 400: list[399].ID} {
		m, err := s.Nearest(t.Context(), p, list[n-1].ID)
		if err != nil || m.After != want {
			t.Errorf("%d events: from %s, %v; want %s", n, m.After, err, want)
		}
	}
}

func TestTwoInstantsAreToldAsIfEachWasAskedFor(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 2)
	s := past.New(log)
	var all [2][]events.Event
	for i, p := range log.Partitions() {
		all[i] = history(t, log, p, simulation.Config{Seed: uint64(3 + i), Events: 1000})
	}
	keep(t, log, log.Partitions()[0], all[0][:700]) // between the two
	keep(t, log, log.Partitions()[1], all[1][:100]) // before both
	from, to := all[0][400].ID, all[0][900].ID
	before, after, err := s.Between(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []struct {
		got   *asof.View
		until events.ID
	}{{before, from}, {after, to}} {
		want, err := s.At(t.Context(), side.until)
		if err != nil || string(side.got.Encode()) != string(want.Encode()) {
			t.Errorf("as of %s: %d tasks, want %d, %v", side.until, side.got.Len(), want.Len(), err)
		}
	}
	if n := len(after.Moves(before)); n == 0 {
		t.Error("nothing moved")
	}
}

func TestEntriesThatAreNoEventsAreCountedOnce(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	list := history(t, log, p, simulation.Config{Seed: 4, Events: 50})
	if err := log.Conn().View.Do(t.Context(), "XADD", p.Events, "*", "foreign", "1").Err(); err != nil {
		t.Fatal(err)
	}
	end, err := log.Last(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m, err := s.Moment(t.Context(), p, end)
		if err != nil || m.Skipped != 1 || m.After != end || m.Last != list[49].ID {
			t.Fatalf("%+v, %v", m, err)
		}
		if _, err := s.Keep(t.Context(), p, end, m.Encode()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheLogIsNotTrimmedBeyondTheNewestSnapshotAndAnswersFromThere(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	list := history(t, log, p, simulation.Config{Seed: 5, Events: 500})
	keep(t, log, p, list[:100])
	at := keep(t, log, p, list[:300])
	if held := trim(t, log, p, list[300].ID); held == nil || held.By != "reader snapshots" || held.At != at {
		t.Fatalf("%+v", held)
	}
	if held := trim(t, log, p, list[249].ID); held != nil {
		t.Fatalf("%+v", held)
	}
	for _, n := range []int{300, 301, 450, 500} {
		m, err := s.Moment(t.Context(), p, list[n-1].ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, m, list[:n])
	}
	for _, n := range []int{1, 100, 101, 249} { // of the second and third nothing but the snapshot before is left
		_, err := s.Moment(t.Context(), p, list[n-1].ID)
		gap, ok := errors.AsType[*past.UncoveredError](err)
		if !ok || gap.First != list[250].ID || gap.Removed != 250 || !strings.Contains(gap.Error(), "archive") {
			t.Errorf("after %d events: %v", n, err)
		}
	}
	if m, err := s.Moment(t.Context(), p, list[260].ID); err != nil || m.Missed != 250 {
		t.Errorf("%+v, %v; it is told from what is left", m, err)
	}
	if n, err := s.Sweep(t.Context(), p); n != 1 || err != nil {
		t.Errorf("%d swept, %v; want the one before what is gone", n, err)
	}
	if held := trim(t, log, p, at); held != nil { // also where the entry of the snapshot is gone it goes on
		t.Fatalf("%+v", held)
	}
	m, err := s.Moment(t.Context(), p, list[399].ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, m, list[:400])
}

func TestEntriesThatSomebodyElseRemovedAreMissed(t *testing.T) {
	for name, remove := range map[string]func(p eventlog.Partition, list []events.Event) []any{
		"by XTRIM": func(p eventlog.Partition, list []events.Event) []any { return []any{"XTRIM", p.Events, "MAXLEN", 100} },
		"by XDEL": func(p eventlog.Partition, list []events.Event) []any {
			return []any{"XDEL", p.Events, list[150].ID.String()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := testredis.Open(t, testredis.Start(t).URL(), 1)
			p, s := log.Partitions()[0], past.New(log)
			list := history(t, log, p, simulation.Config{Seed: 6, Events: 300})
			keep(t, log, p, list[:100])
			if err := log.Conn().View.Do(t.Context(), remove(p, list)...).Err(); err != nil {
				t.Fatal(err)
			}
			m, err := s.Moment(t.Context(), p, list[299].ID)
			if err != nil || m.Missed == 0 {
				t.Errorf("%d missed, %v", m.Missed, err)
			}
		})
	}
}
