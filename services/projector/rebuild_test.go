package projector_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/crashpoint/crashtest"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/projector"
)

// stale is a field that no log gives.
const stale = `{"counts":{},"totals":{"requested":77,"completed":0,"failed":0,"cancelled":0,"attemptsFailed":0}}`

// kept writes a log, has a projector keep its views to the end, and returns them.
func kept(t *testing.T, log *eventlog.Log, list []events.Event) string {
	t.Helper()
	p := log.Partitions()[0]
	write(t, log, p, list)
	stop := run(t, log, quiet(), nil)
	defer stop()
	caughtUp(t, log, p)
	return dump(t, log, p)
}

// watch reads views over and over until stop is called, which returns what was read of the queues, in order and
// without repeats.
func watch(t *testing.T, log *eventlog.Log) (stop func() []string) {
	t.Helper()
	p := log.Partitions()[0]
	ctx, cancel := context.WithCancel(context.Background())
	var seen []string
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			all, err := log.Conn().View.HGetAll(context.Background(), p.View("queues")).Result()
			if s := fmt.Sprint(all); err != nil {
				t.Error(err)
			} else if len(seen) == 0 || seen[len(seen)-1] != s {
				seen = append(seen, s)
			}
		}
	})
	return func() []string { cancel(); wg.Wait(); return seen }
}

func TestReadersSeeTheOldViewsUntilTheNewOnesAreThereAndWhatDiffersIsTold(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	want := kept(t, log, simulation.Make(simulation.Config{Seed: 21, Events: 8000}).Events)
	if err := log.Conn().View.HSet(t.Context(), p.View("queues"), "nobody", stale).Err(); err != nil {
		t.Fatal(err)
	}
	stop := watch(t, log)
	sum, err := projector.Rebuild(t.Context(), log, projector.Options{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last views are read", func() bool {
		return log.Conn().View.HLen(t.Context(), p.View("queues")).Val() > 0
	})
	if seen := stop(); len(seen) > 2 || len(seen) == 2 && !strings.Contains(seen[0], "nobody") || strings.Contains(seen[len(seen)-1], "nobody") {
		t.Errorf("readers saw %d views: %q", len(seen), seen)
	}
	if got := dump(t, log, p); got != want {
		t.Error(differ(got, want))
	}
	if len(sum.Notes) != 0 || len(sum.Differences) != 1 || sum.Differences[0] != (views.Difference{View: "queues", Field: "nobody", Stored: stale}) {
		t.Errorf("%+v", sum)
	}
}

func TestARebuildKeepsUpWithALogThatGrowsAndStopsNobody(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	list := simulation.Make(simulation.Config{Seed: 22, Events: 12_000}).Events
	write(t, log, p, list[:4000])
	run(t, log, quiet(), nil)
	caughtUp(t, log, p)
	var wg sync.WaitGroup
	wg.Go(func() {
		for from := 4000; from < len(list); from += 100 {
			write(t, log, p, list[from:from+100])
		}
	})
	for range 3 {
		sum, err := projector.Rebuild(t.Context(), log, projector.Options{})
		if err != nil || len(sum.Differences) != 0 || len(sum.Notes) != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
	}
	wg.Wait()
	caughtUp(t, log, p)
	asMadeAgain(t, log, p)
}

func TestOneViewIsMadeAgainWhereTheOthersStand(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	list := simulation.Make(simulation.Config{Seed: 23, Events: 2000}).Events
	want := kept(t, log, list[:1500])
	write(t, log, p, list[1500:]) // which no view has
	for _, view := range []string{"queues", "workers"} {
		if err := log.Conn().View.HSet(t.Context(), p.View(view), "nobody", "{}").Err(); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := projector.Rebuild(t.Context(), log, projector.Options{Only: "queues"})
	if err != nil || len(sum.Differences) != 1 || sum.Differences[0].View != "queues" || sum.Entries != 1500 {
		t.Errorf("%+v, %v", sum, err)
	}
	if got := dump(t, log, p); strings.Contains(got, "queues nobody") || !strings.Contains(got, "workers nobody") {
		t.Errorf("want the queues mended and the workers as they were:\n%s", got)
	}
	if _, err := projector.Rebuild(t.Context(), log, projector.Options{Only: "workers"}); err != nil {
		t.Fatal(err)
	}
	if got := dump(t, log, p); got != want {
		t.Error(differ(got, want))
	}
	run(t, log, quiet(), nil)
	caughtUp(t, log, p)
	asMadeAgain(t, log, p)
}

func TestOneViewAloneIsRefusedWhereItWouldNotFitTheOthers(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	refused := func(only, why string) {
		t.Helper()
		if _, err := projector.Rebuild(t.Context(), log, projector.Options{Only: only}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%v, want %q", err, why)
		}
	}
	refused("everything", "not one of")
	list := simulation.Make(simulation.Config{Seed: 24}).Events
	write(t, log, p, list)
	refused("queues", "make all of them again")
	want := kept(t, log, nil)
	if err := log.Conn().View.XTrimMinID(t.Context(), p.Events, list[100].ID.String()).Err(); err != nil {
		t.Fatal(err)
	}
	refused("queues", "100 entries were removed from the log, and the stored views miss 0")
	if got := dump(t, log, p); got != want {
		t.Error(differ(got, want))
	}
	if left := keys(t, log, p.View("shadow")); len(left) != 0 {
		t.Errorf("%q are left", left)
	}
}

func TestViewsOfAnotherVersionStayUntilOursAreThere(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	want := kept(t, log, simulation.Make(simulation.Config{Seed: 25, Events: 8000}).Events)
	rdb := log.Conn().View
	if err := rdb.HSet(t.Context(), p.View("head"), "version", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.HSet(t.Context(), p.View("queues"), "nobody", stale).Err(); err != nil {
		t.Fatal(err)
	}
	stop := watch(t, log)
	run(t, log, quiet(), nil)
	caughtUp(t, log, p)
	if seen := stop(); len(seen) > 2 || len(seen) == 2 && !strings.Contains(seen[0], "nobody") {
		t.Errorf("readers saw %d views: %q", len(seen), seen)
	}
	if got := dump(t, log, p); got != want {
		t.Error(differ(got, want))
	}
}

// The program of replay.
const program = `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/projector"
)

func main() {
	conn, err := eventlog.Connect(os.Args[1])
	if err == nil {
		var log *eventlog.Log
		if log, err = eventlog.Open(context.Background(), conn, eventlog.Config{}); err == nil {
			_, err = projector.Rebuild(context.Background(), log, projector.Options{})
		}
	}
	fmt.Println(err)
}
`

func TestARebuildThatIsKilledChangesNothingOrAllAndTheNextOneMakesTheSame(t *testing.T) {
	binary := crashtest.Build(t, "chaos", program)
	server := testredis.Start(t)
	log := open(t, server.URL(), 1)
	p, rdb := log.Partitions()[0], log.Conn().View
	want := kept(t, log, cancelled(12_500)) // so many that the store has to be told in between
	for _, point := range crashpoint.ReplayPoints {
		if err := rdb.HSet(t.Context(), p.View("queues"), "nobody", stale).Err(); err != nil {
			t.Fatal(err)
		}
		left := dump(t, log, p)
		if point == crashpoint.ReplayAfterSwap {
			left = want
		}
		if out, err := crashtest.Run(t, binary, string(point), server.URL()); !crashtest.Killed(err) {
			t.Fatalf("%s: it ended with %v: %s", point, err, out)
		}
		if got := dump(t, log, p); got != left {
			t.Errorf("%s: after the kill: %s", point, differ(got, left))
		}
		if _, err := projector.Rebuild(t.Context(), log, projector.Options{}); err != nil {
			t.Fatal(err)
		}
		if got := dump(t, log, p); got != want {
			t.Errorf("%s: %s", point, differ(got, want))
		}
	}
	// What killed ones wrote is kept for a minute, for they might live. Time passes.
	if list := keys(t, log, p.View("shadow")); len(list) == 0 || rdb.Del(t.Context(), list...).Err() != nil {
		t.Fatalf("%q are left of three that were killed", list)
	}
	run(t, log, quiet(), nil)
	eventually(t, "all is swept", func() bool {
		head := rdb.HMGet(t.Context(), p.View("head"), "generation", "swept").Val()
		return head[0] == head[1]
	})
	index := p.View("tasks:" + rdb.HGet(t.Context(), p.View("head"), "index").Val() + ":")
	for _, key := range keys(t, log, p.View("")) {
		if strings.Contains(key, "view:shadow") || strings.Contains(key, "view:tasks:") && !strings.HasPrefix(key, index) {
			t.Errorf("%s is left", key)
		}
	}
}

// cancelled returns the events of n tasks that are cancelled.
func cancelled(n int) (list []events.Event) {
	about := events.Label{Queue: "mail", Name: "send"}
	for i := range n {
		for j, d := range []events.Data{
			events.TaskRequested{Label: about, Definition: events.Definition{MaxAttempts: 1}},
			events.TaskCancelled{Label: about, By: "test", From: events.StateWaiting},
		} {
			list = append(list, events.Event{ID: events.ID{Ms: 1_764_000_000_000 + int64(i), Seq: uint64(j)}, Task: fmt.Sprint("t", i), Data: d})
		}
	}
	return list
}

func TestAfterAllThatMayGoWentToTheArchiveAReplayGivesTheSameViews(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			log := open(t, testredis.Start(t).URL(), 2)
			dice := rand.New(rand.NewPCG(seed, 1))
			stop := run(t, log, quiet(), nil)
			for i, p := range log.Partitions() {
				list := simulation.Make(simulation.Config{Seed: 10*seed + uint64(i), Events: 1000 + dice.IntN(2000), StepMs: 1 + dice.Int64N(20_000)}).Events
				for len(list) > 0 {
					n := min(len(list), 1+dice.IntN(700))
					write(t, log, p, list[:n])
					list = list[n:]
				}
				caughtUp(t, log, p)
			}
			stop()
			a, err := archive.Create(t.Context(), t.TempDir(), "tasklog")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = a.Close() })
			want := map[int]string{}
			for _, p := range log.Partitions() {
				want[p.N] = dump(t, log, p)
				if _, err := a.Write(t.Context(), log, p, archive.Config{MaxEntries: 100 + dice.IntN(900), Lag: time.Millisecond}); err != nil {
					t.Fatal(err)
				}
				if _, err := a.Trim(t.Context(), log, p, archive.Retention{Events: 1}); err != nil {
					t.Fatal(err)
				}
				if n, err := log.Len(t.Context(), p); err != nil || n > 1000 {
					t.Fatalf("%d entries are left, %v", n, err)
				}
			}
			log.Attach(a)
			heads := map[int]map[string]string{}
			for _, p := range log.Partitions() {
				heads[p.N] = log.Conn().View.HGetAll(t.Context(), p.View("head")).Val()
			}
			sum, err := projector.Rebuild(t.Context(), log, projector.Options{})
			if err != nil || len(sum.Differences) != 0 || len(sum.Notes) != 0 || sum.Missed != 0 {
				t.Fatalf("%+v, %v", sum, err)
			}
			for _, p := range log.Partitions() {
				if got := dump(t, log, p); got != want[p.N] {
					t.Error(differ(got, want[p.N]))
				}
				if head := log.Conn().View.HGetAll(t.Context(), p.View("head")).Val(); maps.Equal(head, heads[p.N]) {
					t.Error("nothing was replayed")
				}
			}
		})
	}
}
