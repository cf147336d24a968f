package copier_test

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/copier"
)

func TestACopyTellsTheSameOfEveryTaskWithWhateverNumberOfPartitions(t *testing.T) {
	url, other := testredis.Start(t).URL(), testredis.Start(t).URL()
	for i, parts := range [][2]int{{1, 3}, {3, 1}, {3, 2}, {2, 4}, {4, 6}, {2, 2}} {
		t.Run(fmt.Sprintf("from %d to %d", parts[0], parts[1]), func(t *testing.T) {
			defer copier.SetSizes(5+i*40, 30+i*200)()
			h := history(uint64(i), 1000)
			source := open(t, url, fmt.Sprint("from", i), parts[0])
			target := open(t, []string{url, other}[i%2], fmt.Sprint("to", i), parts[1])
			write(t, source, h.Events)
			writeStrange(t, source)
			sum, err := copier.Run(t.Context(), source, target, config(copier.Clone, target))
			must(t, err)
			same(t, source, target)
			proved(t, target)
			if shut(t, target) || shut(t, source) || !sum.Opened || sum.Copied != sum.Entries {
				t.Errorf("%+v, or a log is shut", sum)
			}
			var entries int64
			for _, p := range target.Partitions() {
				list := raw(t, target, p)
				entries += int64(len(list))
				var paused []string
				for q, is := range h.Paused {
					if is {
						paused = append(paused, q)
					}
				}
				slices.Sort(paused)
				if got := slices.Sorted(maps.Keys(target.Conn().View.SMembersMap(t.Context(), p.Paused).Val())); !slices.Equal(got, paused) {
					t.Errorf("queues %v are paused in partition %d, want %v", got, p.N, paused)
				}
			}
			if entries != sum.Entries {
				t.Errorf("%d entries are there, and %d are told", entries, sum.Entries)
			}
			if parts[0] == parts[1] {
				for n, p := range source.Partitions() {
					if !reflect.DeepEqual(raw(t, source, p), raw(t, target, target.Partitions()[n])) || sum.Moved != 0 {
						t.Errorf("partition %d is not the same", n)
					}
				}
			}
		})
	}
}

func TestAnEntryKeepsItsIdUnlessTheOneBeforeItHasIt(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target := open(t, url, "from", 3), open(t, url, "to", 1)
	add := func(p int, id, name string) {
		t.Helper()
		must(t, source.Conn().View.Do(t.Context(), "XADD", source.Partitions()[p].Events, id, "x", name).Err())
	}
	add(0, "5-0", "a")
	add(0, "5-1", "b")
	add(1, "5-0", "c")
	add(2, "5-1", "d")
	add(1, "5-7", "e")
	add(2, "5-18446744073709551615", "f")
	add(1, "6-0", "g")
	add(0, "6-0", "h")
	sum, err := copier.Run(t.Context(), source, target, config(copier.Follow, target))
	must(t, err)
	var got []string
	for _, e := range raw(t, target, target.Partitions()[0]) {
		got = append(got, e.ID.String()+" "+e.Field("x"))
	}
	want := []string{"5-0 a", "5-1 c", "5-2 b", "5-3 d", "5-7 e", "5-18446744073709551615 f", "6-0 h", "6-1 g"}
	if !slices.Equal(got, want) || sum.Moved != 4 {
		t.Errorf("got %q, want %q, %d moved", got, want, sum.Moved)
	}
}

func TestAQueueIsPausedInTheCopyAsLongAsItIsInAllThatIsMerged(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target := open(t, url, "from", 2), open(t, url, "to", 3)
	say := func(p int, ms int64, d events.Data) {
		typ, v, data, err := events.Encode(d)
		must(t, err)
		must(t, source.Conn().View.Do(t.Context(), "XADD", source.Partitions()[p].Events, ms, "type", string(typ), "task", "", "v", v, "data", data).Err())
	}
	about := events.Label{Queue: "q"}
	paused, resumed := events.QueuePaused{Label: about}, events.QueueResumed{Label: about}
	say(0, 10, paused)
	say(1, 20, paused)  // from here
	say(1, 30, resumed) // to here
	say(0, 40, resumed)
	say(1, 50, paused)
	say(1, 60, resumed) // never in both
	say(1, 70, paused)
	say(0, 80, paused) // and from here on
	undo := copier.SetSizes(1, 1)
	_, err := copier.Run(t.Context(), source, target, config(copier.Clone, target))
	undo()
	must(t, err)
	for _, p := range target.Partitions() {
		var got []string
		for _, e := range raw(t, target, p) {
			got = append(got, e.ID.String()+" "+e.Field("type"))
		}
		if want := []string{"20-0 QueuePaused", "30-0 QueueResumed", "80-0 QueuePaused"}; !slices.Equal(got, want) {
			t.Errorf("partition %d: got %q, want %q", p.N, got, want)
		}
	}
	proved(t, target)
}

func TestAnIdThatLivesAgainForItsRowWasTooManyMayDoSoInTheCopy(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target := open(t, url, "from", 3), open(t, url, "to", 2)
	over := func(task, queue string) {
		_, err := source.Request(t.Context(), eventlog.Request{
			Task: task, Label: events.Label{Queue: queue, Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
		})
		must(t, err)
		_, err = source.Cancel(t.Context(), task, "test", "")
		must(t, err)
	}
	for range 2 {
		for i := range 30 {
			over(fmt.Sprint("t", i), "q")
		}
		must(t, testredis.Retire(t.Context(), source, 0))
	}
	for i := range 9 {
		over(fmt.Sprint("last ", i), "other")
	}
	proved(t, source)
	_, err := copier.Run(t.Context(), source, target, config(copier.Move, target))
	must(t, err)
	proved(t, target)
	if _, err := target.Task(t.Context(), "t7"); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("a task that the source forgot is known: %v", err)
	}
	for i := range 9 {
		_, err := target.Task(t.Context(), fmt.Sprint("last ", i))
		must(t, err)
	}
}

func TestATargetThatIsNotEmptyIsRefusedAndLeftAsItIs(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target, third := open(t, url, "from", 2), open(t, url, "to", 2), open(t, url, "third", 3)
	write(t, source, history(1, 200).Events)
	write(t, third, history(2, 200).Events)
	run := func(from, to *eventlog.Log, mode copier.Mode) error {
		_, err := copier.Run(t.Context(), from, to, config(mode, to))
		return err
	}
	for name, to := range map[string]*eventlog.Log{"another log": third, "the source itself": source} {
		if err := run(source, to, copier.Follow); !errors.Is(err, copier.ErrNotEmpty) || shut(t, to) {
			t.Errorf("%s: %v, or it is shut", name, err)
		}
	}
	must(t, run(source, target, copier.Follow))
	if err := run(third, target, copier.Follow); !errors.Is(err, copier.ErrNotEmpty) {
		t.Errorf("a copy of another log: %v", err)
	}
	same(t, source, target)
	must(t, run(source, target, copier.Clone))
	for _, mode := range []copier.Mode{copier.Follow, copier.Move, copier.Clone} {
		if err := run(source, target, mode); !errors.Is(err, copier.ErrFinished) || shut(t, target) || shut(t, source) {
			t.Errorf("mode %d, and it was opened: %v, or a log is shut", mode, err)
		}
	}
}

func TestOfTwoCopiesAtOnceTheLaterOneGoesOn(t *testing.T) {
	url := testredis.Start(t).URL()
	source, target := open(t, url, "from", 2), open(t, url, "to", 3)
	write(t, source, still(history(9, 2000)))
	defer copier.SetSizes(20, 50)()
	var later error
	cfg := config(copier.Move, target)
	another := sync.OnceFunc(func() { _, later = copier.Run(t.Context(), source, target, config(copier.Move, target)) })
	cfg.Progress = func(int64, int64) { another() } // while the first one copies
	_, err := copier.Run(t.Context(), source, target, cfg)
	if !errors.Is(err, eventlog.ErrMoved) || later != nil {
		t.Errorf("the first one: %v; the later one: %v", err, later)
	}
	if !shut(t, source) || shut(t, target) {
		t.Error("the source is open, or the copy shut")
	}
	same(t, source, target)
	proved(t, target)
}

func TestACopyThatWasMovedOnIsNotOpenedAgain(t *testing.T) {
	url := testredis.Start(t).URL()
	a, b, c := open(t, url, "a", 1), open(t, url, "b", 2), open(t, url, "c", 1)
	write(t, a, still(history(1, 200)))
	run := func(from, to *eventlog.Log, mode copier.Mode) error {
		_, err := copier.Run(t.Context(), from, to, config(mode, to))
		return err
	}
	must(t, run(a, b, copier.Move))
	must(t, run(b, c, copier.Move))
	gate, err := b.Gate(t.Context(), b.Partitions()[0])
	must(t, err)
	for _, mode := range []copier.Mode{copier.Follow, copier.Move, copier.Clone} {
		if err := run(a, b, mode); !errors.Is(err, copier.ErrFinished) {
			t.Errorf("mode %d: %v", mode, err)
		}
		if now, err := b.Gate(t.Context(), b.Partitions()[0]); err != nil || now != gate {
			t.Errorf("mode %d: the gate that said %q says %q, %v", mode, gate, now, err)
		}
	}
}
