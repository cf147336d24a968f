package scheduler_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/scheduler"
)

// janitor runs a scheduler that keeps so many rows of tasks that are over, until stop is called: it then ends
// wherever it is.
func janitor(t *testing.T, log *eventlog.Log, keep int) (stop func()) {
	t.Helper()
	s, err := scheduler.New(log, scheduler.Config{RetentionCount: keep}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.Hurry()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// lives is what becomes of some tasks, as the log tells it.
type lives struct {
	*testing.T
	log *eventlog.Log
	n   int
}

func (l *lives) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lives) request(task, queue string) {
	l.Helper()
	l.n++
	_, err := l.log.Request(l.Context(), eventlog.Request{
		Task: task, Label: events.Label{Queue: queue, Name: "test"},
		Definition: events.Definition{MaxAttempts: 1, RequestID: fmt.Sprint(l.n)},
	})
	l.must(err)
}

// end cancels a task, which is over then.
func (l *lives) end(task string) {
	l.Helper()
	_, err := l.log.Cancel(l.Context(), task, "test", "")
	l.must(err)
}

// tasks returns every task as the log of a partition has it, and the newest entry.
func (l *lives) tasks(p eventlog.Partition) (map[string]events.Task, events.ID) {
	l.Helper()
	found, last := map[string]events.Task{}, events.ID{}
	for {
		entries, err := l.log.Range(l.Context(), p, last, events.MaxID, 1000)
		l.must(err)
		if len(entries) == 0 {
			return found, last
		}
		for _, e := range entries {
			last = e.ID
			next, err := found[e.Task].Anew(e.Event).Evolve(e.Event)
			l.must(err)
			found[e.Task] = next
		}
	}
}

// wrong says in which way the rows are not those that must be there: of every task that is not over, and of each
// queue and partition those of the keep tasks that ended last.
func (l *lives) wrong(keep int) (why []string) {
	l.Helper()
	for _, p := range l.log.Partitions() {
		tasks, _ := l.tasks(p)
		ends := map[string][]events.ID{}
		for _, t := range tasks {
			if t.State.Final() {
				ends[t.Queue] = append(ends[t.Queue], t.Events[len(t.Events)-1])
			}
		}
		have := map[string]int{}
		for id, t := range tasks {
			row, err := l.log.Conn().View.HGet(l.Context(), p.Task(id), "state").Result()
			there := err == nil && row != ""
			if !t.State.Final() {
				if !there {
					why = append(why, fmt.Sprintf("%s is %s and has no row", id, t.State))
				}
				continue
			}
			if there {
				have[t.Queue]++
			}
			list := ends[t.Queue]
			slices.SortFunc(list, events.ID.Compare)
			if n := len(list) - keep; n > 0 {
				if ended := t.Events[len(t.Events)-1]; there != (ended.Compare(list[n]) >= 0) {
					why = append(why, fmt.Sprintf("%s ended at %s and has a row: %t; the oldest that has one ended at %s", id, ended, there, list[n]))
				}
			}
		}
		for queue, list := range ends {
			if want := min(keep, len(list)); have[queue] != want {
				why = append(why, fmt.Sprintf("partition %d: queue %s has %d rows of tasks that are over, want %d", p.N, queue, have[queue], want))
			}
		}
	}
	return why
}

// await waits until the rows are right.
func (l *lives) await(keep int) {
	l.Helper()
	l.until(func() (wrong string) { return strings.Join(l.wrong(keep), "\n") })
}

// until waits until nothing is wrong.
func (l *lives) until(wrong func() string) {
	l.Helper()
	tick, began := time.Tick(50*time.Millisecond), time.Now()
	for why := wrong(); why != ""; why = wrong() {
		if time.Since(began) > 20*time.Second {
			l.Fatal(why)
		}
		<-tick
	}
}

func TestOfEachQueueTheRowsOfTheNewestTasksStay(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, url string) {
		l := &lives{T: t, log: testredis.Open(t, url, 3)}
		stop := janitor(t, l.log, 10) // 4 of each partition
		defer stop()
		for i := range 600 {
			task := fmt.Sprintf("t%d", i)
			l.request(task, fmt.Sprintf("q%d", i%3))
			if i%5 > 0 {
				l.end(task)
			}
		}
		l.await(4)
		for _, p := range l.log.Partitions() {
			_, last := l.tasks(p)
			at, err := l.log.Tallied(t.Context(), p)
			l.must(err)
			if at != last {
				t.Errorf("partition %d is noted up to %s, and ends at %s", p.N, at, last)
			}
			held, err := l.log.Trim(t.Context(), p, last.Prev())
			if l.must(err); held == nil || held.By != "the views" {
				t.Errorf("%+v holds the log, and not the janitor", held)
			}
		}
	})
}

// Tasks are retried and live again under their ids while two janitors run, one of which always dies somewhere.
func TestWhereverAJanitorDiesTheRightRowsGo(t *testing.T) {
	t.Parallel()
	l := &lives{T: t, log: testredis.Open(t, testredis.Start(t).URL(), 2)}
	const keep = 3 // of each partition
	steady := janitor(t, l.log, 2*keep)
	dice := rand.New(rand.NewPCG(1, 2))
	over := map[string]bool{} // the others are under way, or unknown
	known := map[string]bool{}
	for round := range 12 {
		stop := janitor(t, l.log, 2*keep)
		for range 60 + dice.IntN(60) {
			task := fmt.Sprintf("t%d", dice.IntN(60))
			queue := []string{"a", "b"}[dice.IntN(2)]
			switch {
			case !known[task]:
				l.request(task, queue)
				known[task] = true
			case !over[task]:
				l.end(task)
				over[task] = true
			case dice.IntN(2) == 0:
				if _, err := l.log.Retry(t.Context(), task, "test", fmt.Sprint("retry ", l.n)); err == nil {
					over[task] = false
				} else { // its row is gone
					l.n++
					l.request(task, queue)
					over[task] = false
				}
				l.n++
			}
		}
		stop()
		if round == 6 {
			steady()
		}
	}
	for i := range 60 { // those that stay: before, one that went may have been among the newest again, for newer ones were retried
		task := fmt.Sprintf("last %d", i)
		l.request(task, []string{"a", "b"}[i%2])
		l.end(task)
	}
	stop := janitor(t, l.log, 2*keep)
	defer stop()
	l.await(keep)
}

func TestNotesThatWereThrownAwayAreMadeAgainWithoutANewEvent(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, url string) {
		l := &lives{T: t, log: testredis.Open(t, url, 1)}
		p := l.log.Partitions()[0]
		for i := range 5 {
			l.request(fmt.Sprint(i), "q")
			l.end(fmt.Sprint(i))
		}
		stop := janitor(t, l.log, 2)
		defer stop()
		l.await(2)
		_, last := l.tasks(p)
		l.must(l.log.Untally(t.Context(), p)) // as a rebuild of the state does
		l.until(func() string {
			at, err := l.log.Tallied(t.Context(), p)
			if err != nil || at != last || l.log.Conn().View.ZCard(t.Context(), p.Finished("q")).Val() != 2 {
				return fmt.Sprintf("noted up to %s, %v", at, err)
			}
			return ""
		})
	})
}

func TestWithoutALimitNothingIsNotedAndWhatWasIsPutAway(t *testing.T) {
	t.Parallel()
	testredis.Each(t, func(t *testing.T, url string) {
		l := &lives{T: t, log: testredis.Open(t, url, 1)}
		p := l.log.Partitions()[0]
		view := l.log.Conn().View
		stop := janitor(t, l.log, 1)
		l.request("a", "q")
		l.request("b", "q")
		l.end("a")
		l.end("b")
		l.await(1)
		stop()
		stop = janitor(t, l.log, 0)
		defer stop()
		l.until(func() string {
			if view.Exists(t.Context(), p.Readers, p.Finished("q")).Val() > 0 {
				return "the notes of before are there"
			}
			return ""
		})
		l.request("c", "q")
		l.end("c")
		if upto, err := l.log.RetiredUpto(t.Context(), p); err != nil || len(upto) != 1 {
			t.Errorf("which rows went is told no more: %v, %v", upto, err)
		}
	})
}

func TestARowStaysAMinuteHoweverManyThereAre(t *testing.T) {
	t.Parallel()
	srv := testredis.Start(t)
	h := build(t, srv.URL(), scheduler.Config{RetentionCount: 1}, 1)
	l := &lives{T: t, log: h.log}
	for i := range 3 {
		l.request(fmt.Sprint(i), "q")
		l.end(fmt.Sprint(i))
	}
	_, last := l.tasks(h.p)
	l.until(func() string {
		if at, err := h.log.Tallied(t.Context(), h.p); err != nil || at != last {
			return fmt.Sprintf("noted up to %s, %v", at, err)
		}
		return ""
	})
	r, err := h.log.Retire(t.Context(), h.p, "q", 1, eventlog.MinRetention)
	if l.must(err); !r.More || r.Rows != 0 || len(l.wrong(3)) != 0 {
		t.Errorf("%+v, %v", r, l.wrong(3))
	}
}

func TestALimitUnderNothingIsRefused(t *testing.T) {
	log := testredis.Open(t, testredis.Embedded(t), 1)
	if _, err := scheduler.New(log, scheduler.Config{RetentionCount: -1}, slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("it is taken")
	}
}
