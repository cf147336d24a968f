package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// shelf is an Older that has all that was put there.
type shelf struct {
	raw   []eventlog.Raw
	err   error
	asked int
}

func (s *shelf) Raw(_ context.Context, _ int, after, until events.ID, n int) ([]eventlog.Raw, error) {
	s.asked++
	var out []eventlog.Raw
	for _, e := range s.raw {
		if len(out) < n && e.ID.Compare(after) > 0 && e.ID.Compare(until) <= 0 {
			out = append(out, e)
		}
	}
	return out, s.err
}

func (s *shelf) Range(ctx context.Context, partition int, after, until events.ID, n int) ([]eventlog.Entry, error) {
	some, err := s.Raw(ctx, partition, after, until, n)
	out := make([]eventlog.Entry, len(some))
	for i, e := range some {
		out[i] = e.Entry()
	}
	return out, err
}

func (s *shelf) End(context.Context, int) (events.ID, int64, error) {
	if len(s.raw) == 0 {
		return events.ID{}, 0, s.err
	}
	return s.raw[len(s.raw)-1].ID, int64(len(s.raw)), s.err
}

// read returns all of a partition.
func (h *hand) entries() []eventlog.Entry {
	h.Helper()
	return must(h.log.Range(h.Context(), h.p, events.ID{}, events.MaxID, 100_000))(h)
}

// raws returns all of a partition as it is.
func (h *hand) raws() []eventlog.Raw {
	h.Helper()
	return must(h.log.Verbatim(h.Context(), h.p, events.ID{}, events.MaxID, 100_000))(h)
}

// letGo makes a log of tasks, of which the first half left the stream for a shelf.
func letGo(t *testing.T, h *hand) ([]eventlog.Entry, *shelf) {
	t.Helper()
	for i := range 40 {
		h.requested(fmt.Sprint("t", i))
	}
	h.due("q")
	all := h.entries()
	old := &shelf{raw: h.raws()[:60]} // somewhat more than was trimmed
	h.succeed(h.rdb.HSet(t.Context(), h.p.View("head"), "checkpoint", all[len(all)-1].ID.String()).Err())
	if held, err := h.log.Trim(t.Context(), h.p, all[49].ID); err != nil || held != nil {
		t.Fatalf("%v, %v", held, err)
	}
	return all, old
}

func (h *hand) succeed(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func TestTheLogIsOneWithWhatLeftItsStream(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		all, old := letGo(t, h)
		raw := append(slices.Clone(old.raw[:50]), h.raws()...)
		if left := h.entries(); len(left) != len(all)-50 {
			t.Fatalf("%d entries are in the stream, want %d", len(left), len(all)-50)
		}
		if removed := must(h.log.Removed(t.Context(), h.p))(h); removed != 50 && removed != 0 { // the embedded Redis does not say
			t.Errorf("%d entries are gone, want 50", removed)
		}
		h.log.Attach(old)
		for range 300 {
			a, b, n := rand.IntN(len(all)), rand.IntN(len(all)), 1+rand.IntN(len(all))
			want := all[min(a+1, b+1) : b+1]
			if a > b {
				want = nil
			}
			want = want[:min(n, len(want))]
			got := must(h.log.Range(t.Context(), h.p, all[a].ID, all[b].ID, n))(h)
			if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
				t.Fatalf("after entry %d, up to %d, at most %d: %d entries, want %d", a, b, n, len(got), len(want))
			}
		}
		if got := h.raws(); !reflect.DeepEqual(got, raw) || got[0].Field("task") != "t0" {
			t.Errorf("%d entries as they are, want %d", len(got), len(raw))
		}
		if got := must(h.log.Follow(t.Context(), h.p, events.ID{}, 1000, time.Second))(h); !reflect.DeepEqual(got, all) {
			t.Errorf("who follows from the beginning gets %d entries, want %d", len(got), len(all))
		}
		for i := range 40 {
			task := h.task(fmt.Sprint("t", i))
			if history := must(h.log.History(t.Context(), task))(h); len(history) != 2 || history[0].ID != task.Events[0] || history[1].ID != task.Events[1] {
				t.Errorf("task %s: %d events, want its 2", task.ID, len(history))
			}
		}
		if removed := must(h.log.Removed(t.Context(), h.p))(h); removed != 0 {
			t.Errorf("%d entries are gone, want none", removed)
		}
	})
}

func TestWhoeverNeedsNothingOldAsksNothingOfTheArchive(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		all, old := letGo(t, h)
		old.err = errors.New("the archive is away")
		h.log.Attach(old)
		if got := must(h.log.Range(t.Context(), h.p, all[49].ID, events.MaxID, 1000))(h); len(got) != len(all)-50 {
			t.Errorf("%d entries, want %d", len(got), len(all)-50)
		}
		if got := must(h.log.Follow(t.Context(), h.p, all[60].ID, 1000, time.Second))(h); len(got) != len(all)-61 {
			t.Errorf("%d entries, want %d", len(got), len(all)-61)
		}
		h.requested("new")
		if old.asked != 0 {
			t.Errorf("the archive was asked %d times", old.asked)
		}
		if _, err := h.log.Range(t.Context(), h.p, all[48].ID, events.MaxID, 1000); !errors.Is(err, old.err) {
			t.Errorf("%v, want what the archive says", err)
		}
	})
}

func TestATrimWhileTheLogIsReadMakesNoHole(t *testing.T) {
	h := newHand(t, open(t, testredis.Start(t).URL(), 1))
	for i := range 2000 {
		h.requested(fmt.Sprint("t", i))
	}
	all := h.entries()
	h.succeed(h.rdb.HSet(t.Context(), h.p.View("head"), "checkpoint", all[len(all)-1].ID.String()).Err())
	h.log.Attach(&shelf{raw: h.raws()})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; i < len(all)-1; i += 7 {
			if _, err := h.log.Trim(t.Context(), h.p, all[i].ID); err != nil {
				t.Error(err)
			}
		}
	})
	for range 100 {
		after, n := events.ID{}, 0
		for {
			page := must(h.log.Range(t.Context(), h.p, after, events.MaxID, 100))(h)
			for _, e := range page {
				if e.ID != all[n].ID {
					t.Fatalf("entry %d is %s, want %s", n, e.ID, all[n].ID)
				}
				n++
			}
			if len(page) < 100 {
				break
			}
			after = page[len(page)-1].ID
		}
		if n != len(all) {
			t.Fatalf("%d entries were read, want %d", n, len(all))
		}
	}
	wg.Wait()
}
