package projector_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/simulation"
	"github.com/tasklog/tasklog/services/projector"
)

func TestRebuiltViewsEqualThoseThatFollowedLive(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 2)
		stop := run(t, log, quiet(), nil)
		// Long enough steps that minutes of the first day are forgotten.
		histories := [][]events.Event{
			simulation.Make(simulation.Config{Seed: 1, Events: 6000, StepMs: 60_000}).Events,
			simulation.Make(simulation.Config{Seed: 2, Events: 3000}).Events,
		}
		for i, p := range log.Partitions() {
			for len(histories[i]) > 0 { // piece by piece, so that there are many saves
				n := min(500, len(histories[i]))
				write(t, log, p, histories[i][:n])
				histories[i] = histories[i][n:]
				caughtUp(t, log, p)
			}
		}
		stop()
		var live []string
		for _, p := range log.Partitions() {
			live = append(live, dump(t, log, p))
		}
		var last, total int64
		sum, err := projector.Rebuild(t.Context(), log, projector.Options{Progress: func(done, expected int64) {
			if done < last {
				t.Errorf("progress went from %d to %d", last, done)
			}
			last, total = done, expected
		}})
		if err != nil {
			t.Fatal(err)
		}
		if sum.Entries != 9000 || last != 9000 || total != 9000 || sum.Partitions != 2 || sum.Skipped != 0 || sum.Missed != 0 {
			t.Errorf("%+v, progress %d of %d; want 9000 entries", sum, last, total)
		}
		for i, p := range log.Partitions() {
			if got := dump(t, log, p); got != live[i] {
				t.Errorf("partition %d: %s", p.N, differ(got, live[i]))
			}
			generation := log.Conn().View.HGet(t.Context(), p.View("head"), "generation").Val()
			for _, key := range keys(t, log, p.View("tasks:")) {
				if !strings.HasPrefix(key, p.View("tasks:"+generation+":")) {
					t.Errorf("%s is left of an older generation", key)
				}
			}
		}
	})
}

func TestViewsAreThoseOfAReplay(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	h := simulation.Make(simulation.Config{Seed: 3, Events: 4000})
	write(t, log, p, h.Events)
	run(t, log, quiet(), nil)
	caughtUp(t, log, p)
	got, fresh, err := views.New(log).Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end := h.Events[len(h.Events)-1].ID
	if !fresh.Newest.Equal(end.Time()) || fresh.Partitions[0].Checkpoint != end || fresh.Partitions[0].Read != 4000 {
		t.Errorf("fresh as of %+v, want %s", fresh, end)
	}
	want := new(queues.View)
	if _, err := projections.Replay(t.Context(), views.Source(log, p), events.ID{}, events.MaxID, want); err != nil {
		t.Fatal(err)
	}
	if got.Len() != want.Len() {
		t.Errorf("%d queues, want %d", got.Len(), want.Len())
	}
	for name := range want.All() {
		if g, w := fmt.Sprint(got.Queue(name)), fmt.Sprint(want.Queue(name)); g != w {
			t.Errorf("%s: %s, want %s", name, g, w)
		}
	}
	// Every task is where the index says, and nowhere else.
	found := map[string]string{}
	for line := range strings.Lines(dump(t, log, p)) {
		for _, s := range events.States {
			if !strings.HasPrefix(line, string(s)+":queue") {
				continue
			}
			words := strings.Fields(line) // <state>:queue: <n> <task> = <ms>, or <state>:queue: <n> <ms> <task>
			task := words[2]
			if s == events.StateCompleted {
				task = words[3]
			}
			if place := words[0] + " " + words[1]; found[task] != "" {
				t.Errorf("task %s is in %s and in %s", task, found[task], place)
			} else {
				found[task] = place
			}
		}
	}
	for id, task := range h.Tasks {
		if want := string(task.State) + ":" + task.Queue; found[id] != want {
			t.Errorf("task %s is in %q, want %q", id, found[id], want)
		}
	}
	if len(found) != len(h.Tasks) {
		t.Errorf("%d tasks in the index, want %d", len(found), len(h.Tasks))
	}
}

func TestProjectorsThatComeAndGoGiveTheSameViews(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 1)
		p := log.Partitions()[0]
		list := simulation.Make(simulation.Config{Seed: 4, Events: 8000}).Events
		stops := []func(){run(t, log, quiet(), nil), run(t, log, quiet(), nil)}
		for i := range 8 {
			write(t, log, p, list[1000*i:1000*(i+1)])
			// Take the lease away: both believe that they lead, until they save.
			if err := log.Conn().View.Del(t.Context(), p.View("lease")).Err(); err != nil {
				t.Fatal(err)
			}
			if i == 3 {
				stops[0]()
			}
			if i == 5 {
				run(t, log, quiet(), nil)
				stops[1]()
			}
		}
		caughtUp(t, log, p)
		got := dump(t, log, p)
		if _, err := projector.Rebuild(t.Context(), log, projector.Options{}); err != nil { // while one runs
			t.Fatal(err)
		}
		if want := dump(t, log, p); got != want {
			t.Error(differ(got, want))
		}
	})
}

func TestAnotherTakesOverFromOneThatCrashed(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	// One that crashed: it holds the lease and does nothing any more.
	if _, err := views.New(log).Lease(t.Context(), p, "crashed", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	run(t, log, quiet(), nil)
	began := time.Now()
	write(t, log, p, simulation.Make(simulation.Config{Seed: 5}).Events)
	caughtUp(t, log, p)
	if took := time.Since(began); took > 7*time.Second || took < 3*time.Second {
		t.Errorf("it took %s; want the rest of a lease of 5s", took)
	}
}

func TestAnEntryThatIsNoEventIsSkippedCountedAndLogged(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 1)
		p := log.Partitions()[0]
		list := simulation.Make(simulation.Config{Seed: 6}).Events
		write(t, log, p, list[:500])
		bad := events.ID{Ms: list[499].ID.Ms, Seq: list[499].ID.Seq + 1}
		if list[500].ID.Compare(bad) <= 0 {
			t.Fatal("choose another seed: there is no room for a bad entry")
		}
		err := log.Conn().View.Do(t.Context(), "XADD", p.Events, bad.String(), "type", "TaskDue", "data", "secret").Err()
		if err != nil {
			t.Fatal(err)
		}
		write(t, log, p, list[500:])
		var out syncBuffer
		reg := prometheus.NewRegistry()
		stop := run(t, log, slog.New(slog.NewTextHandler(&out, nil)), reg)
		caughtUp(t, log, p)
		stop()
		if s := out.String(); strings.Count(s, "skipped") != 1 || !strings.Contains(s, bad.String()) || strings.Contains(s, "secret") {
			t.Errorf("want one line that names %s and not its data:\n%s", bad, s)
		}
		expectMetric(t, reg, "tasklog_projector_skipped_total", 1)
		expectMetric(t, reg, "tasklog_projector_events_total", float64(len(list)))
		q, fresh, err := views.New(log).Queues(t.Context())
		if err != nil || fresh.Partitions[0].Skipped != 1 {
			t.Fatalf("%+v, %v; want 1 skipped", fresh, err)
		}
		want := new(queues.View)
		for _, e := range list {
			want.Apply(e)
		}
		for name := range want.All() {
			if g, w := fmt.Sprint(q.Queue(name)), fmt.Sprint(want.Queue(name)); g != w {
				t.Errorf("%s: %s, want %s", name, g, w)
			}
		}
		sum, err := projector.Rebuild(t.Context(), log, projector.Options{})
		if err != nil || sum.Skipped != 1 || sum.Entries != int64(len(list))+1 {
			t.Errorf("%+v, %v; want 1 skipped of %d", sum, err, len(list)+1)
		}
	})
}

func TestATrimmedLogIsSaidAloudAndTheRestIsFolded(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	list := simulation.Make(simulation.Config{Seed: 7}).Events
	write(t, log, p, list[:300])
	stop := run(t, log, quiet(), nil)
	caughtUp(t, log, p)
	stop()
	write(t, log, p, list[300:])
	if err := log.Conn().View.XTrimMinID(t.Context(), p.Events, list[400].ID.String()).Err(); err != nil {
		t.Fatal(err)
	}
	var out syncBuffer
	reg := prometheus.NewRegistry()
	stop = run(t, log, slog.New(slog.NewTextHandler(&out, nil)), reg)
	caughtUp(t, log, p)
	stop()
	expectMetric(t, reg, "tasklog_projector_missed_total", 100)
	expectMetric(t, reg, "tasklog_projector_events_total", float64(len(list)-400))
	if s := out.String(); strings.Count(s, "level=ERROR") != 1 || !strings.Contains(s, "entries=100") {
		t.Errorf("want one error that says that 100 entries are missing:\n%s", s)
	}
	_, fresh, err := views.New(log).Queues(t.Context())
	if err != nil || fresh.Missed() != 100 {
		t.Errorf("%+v, %v; want it to miss 100 entries", fresh, err)
	}
	// What was folded may go.
	reg = prometheus.NewRegistry()
	stop = run(t, log, quiet(), reg)
	if err := log.Conn().View.XTrimMinID(t.Context(), p.Events, list[900].ID.String()).Err(); err != nil {
		t.Fatal(err)
	}
	next := events.Event{ID: list[len(list)-1].ID, Data: events.QueuePaused{Label: events.Label{Queue: "mail"}}}
	next.ID.Seq++
	write(t, log, p, []events.Event{next})
	caughtUp(t, log, p)
	stop()
	expectMetric(t, reg, "tasklog_projector_missed_total", 0)
	sum, err := projector.Rebuild(t.Context(), log, projector.Options{})
	if err != nil || sum.Missed != 900 || sum.Entries != int64(len(list))-900+1 {
		t.Errorf("%+v, %v; want 900 entries to be missing of %d", sum, err, len(list)+1)
	}
}

func TestViewsOfNoUseAreMadeAgain(t *testing.T) {
	for name, spoil := range map[string]func(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error{
		"none": func(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error {
			return log.Conn().View.Del(ctx, p.View("head"), p.View("queues"), p.View("workers")).Err()
		},
		"broken": func(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error {
			return log.Conn().View.HSet(ctx, p.View("queues"), "queue: 0", "{").Err()
		},
		"another version": func(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error {
			return log.Conn().View.HSet(ctx, p.View("head"), "version", "0").Err()
		},
		"another type": func(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error {
			return log.Conn().View.Set(ctx, p.View("head"), "x", 0).Err()
		},
		"an index of another type": func(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error {
			generation := log.Conn().View.HGet(ctx, p.View("head"), "generation").Val()
			for i := range 3 {
				for _, s := range events.States {
					if err := log.Conn().View.Set(ctx, fmt.Sprintf("%s%s:%s:queue: %d", p.View("tasks:"), generation, s, i), "x", 0).Err(); err != nil {
						return err
					}
				}
			}
			return nil
		},
		"no script": func(ctx context.Context, log *eventlog.Log, p eventlog.Partition) error {
			return log.Conn().View.ScriptFlush(ctx).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			testredis.Each(t, func(t *testing.T, url string) {
				log := open(t, url, 1)
				p := log.Partitions()[0]
				list := simulation.Make(simulation.Config{Seed: 8}).Events
				write(t, log, p, list[:500])
				stop := run(t, log, quiet(), nil)
				caughtUp(t, log, p)
				if name == "broken" || name == "another version" { // which shows when they are loaded
					stop()
				}
				if err := spoil(t.Context(), log, p); err != nil {
					t.Fatal(err)
				}
				run(t, log, quiet(), nil) // a second one, or the next
				write(t, log, p, list[500:])
				caughtUp(t, log, p)
				eventually(t, "what is left of old views is swept", func() bool {
					head := log.Conn().View.HMGet(t.Context(), p.View("head"), "generation", "swept").Val()
					return head[0] == head[1]
				})
				asMadeAgain(t, log, p)
			})
		})
	}
}

func TestTheIndexOfCompletedTasksIsBounded(t *testing.T) {
	log := open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	const n = 12_500
	write(t, log, p, lives(n, 700))
	run(t, log, quiet(), nil)
	caughtUp(t, log, p)
	got := dump(t, log, p)
	if listed := strings.Count(got, "completed:default "); listed != 10_000 {
		t.Errorf("%d completed tasks in the index, want 10000", listed)
	}
	if !strings.Contains(got, fmt.Sprintf("0199a1b2-7c3d-7e4f-8a5b-%012d\n", n-1)) {
		t.Error("the newest completed task is not in the index")
	}
	if _, err := projector.Rebuild(t.Context(), log, projector.Options{}); err != nil {
		t.Fatal(err)
	}
	if want := dump(t, log, p); got != want {
		t.Error(differ(got, want))
	}
}

func expectMetric(t *testing.T, reg *prometheus.Registry, name string, want float64) {
	t.Helper()
	fams, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fams {
		if f.GetName() == name {
			if got := f.GetMetric()[0].GetCounter().GetValue(); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			return
		}
	}
	t.Errorf("there is no %s", name)
}
