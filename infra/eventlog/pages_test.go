package eventlog_test

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// sent returns how many bytes a server has sent, ever.
func sent(t *testing.T, s *testredis.Server) int {
	t.Helper()
	info, err := s.Client().Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "total_net_output_bytes:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mixed appends entries that are short and long in turn, a run of each, and returns their ids. They are no events:
// that makes the test quick, and a page no shorter.
func mixed(h *hand, runs ...int) (all []events.ID) {
	texts := [2]string{"x", strings.Repeat("x", mib)}
	for i, n := range runs {
		for range n {
			id := must(h.rdb.XAdd(h.Context(), &redis.XAddArgs{Stream: h.p.Events, Values: []string{"text", texts[i%2]}}).Result())(h)
			all = append(all, must(events.ParseID(id))(h))
		}
	}
	return all
}

const mib = 1 << 20

// pagesOf reads a log to its end, and returns what a server sent for each page and how many entries it had.
func pagesOf(t *testing.T, s *testredis.Server, at events.ID, read func(at events.ID) ([]eventlog.Entry, bool, error)) (all []events.ID, bytes, entries []int) {
	t.Helper()
	for more := true; more; {
		before := sent(t, s)
		var page []eventlog.Entry
		var err error
		page, more, err = read(at)
		if errors.Is(err, os.ErrDeadlineExceeded) { // this machine has no time for it: so in smaller pages
			more = true
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > 0 {
			all, bytes, entries = append(all, ids(page)...), append(bytes, sent(t, s)-before), append(entries, len(page))
			at = all[len(all)-1]
		}
	}
	return all, bytes, entries
}

func TestNoReplyOfALogThatHasMetLongEntriesHasMoreThan64MiB(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	all := mixed(h, 0, 10, 250, 120, 250, 10)
	backward := slices.Clone(all)
	slices.Reverse(backward)
	for name, of := range map[string]struct {
		from events.ID
		want []events.ID
		read func(g *eventlog.Pages, at events.ID) ([]eventlog.Entry, bool, error)
	}{
		"Range": {events.ID{}, all, func(g *eventlog.Pages, at events.ID) ([]eventlog.Entry, bool, error) {
			return g.Range(t.Context(), h.p, at, events.MaxID)
		}},
		"RangeBack": {events.MaxID, backward, func(g *eventlog.Pages, at events.ID) ([]eventlog.Entry, bool, error) {
			return g.RangeBack(t.Context(), h.p, at)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := open(t, server.URL(), 1).Pages(1000) // a log that has met nothing
			got, bytes, _ := pagesOf(t, server, of.from, func(at events.ID) ([]eventlog.Entry, bool, error) { return of.read(g, at) })
			if !slices.Equal(got, of.want) {
				t.Errorf("the pages have %d entries, not the %d of the log in order", len(got), len(of.want))
			}
			if most := slices.Max(bytes); most > 64*mib {
				t.Errorf("a reply has %d bytes", most)
			}
		})
	}
}

func TestAPageThatDoesNotComeIsAskedForInSmallerOnes(t *testing.T) {
	g := open(t, testredis.Start(t).URL(), 1).Pages(1000)
	lost := errors.New("i/o timeout")
	var asked []int
	for range 6 {
		_, _, err := eventlog.NextPage(g, func(n int) ([]eventlog.Raw, error) {
			if asked = append(asked, n); n > 2 { // what the connection carries
				return nil, lost
			}
			return make([]eventlog.Raw, n), nil
		})
		if got := asked[len(asked)-1]; (err != nil) != (got > 2) {
			t.Fatalf("a page of %d entries: %v", got, err)
		}
	}
	if want := []int{16, 4, 1, 2, 4, 1}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v entries, want %v", asked, want)
	}
}

func TestPagesOfLongEntriesHaveAboutAsManyBytesAsTheyAreTold(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	all := mixed(h, 0, 30)
	for name, read := range map[string]func(g *eventlog.Pages, at events.ID) ([]eventlog.Entry, bool, error){
		"Follow": func(g *eventlog.Pages, at events.ID) ([]eventlog.Entry, bool, error) {
			return g.Follow(t.Context(), h.p, at, time.Millisecond)
		},
		"Raw": func(g *eventlog.Pages, at events.ID) ([]eventlog.Entry, bool, error) {
			raw, more, err := g.Raw(t.Context(), h.p, at, events.MaxID)
			return decoded(raw), more, err
		},
		"Verbatim": func(g *eventlog.Pages, at events.ID) ([]eventlog.Entry, bool, error) {
			raw, more, err := g.Verbatim(t.Context(), h.p, at, events.MaxID)
			return decoded(raw), more, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := h.log.Pages(1000)
			g.Bytes = 3*mib + mib/2
			got, _, entries := pagesOf(t, server, events.ID{}, func(at events.ID) ([]eventlog.Entry, bool, error) { return read(g, at) })
			if !slices.Equal(got, all) {
				t.Errorf("the pages have %d entries, not the %d of the log in order", len(got), len(all))
			}
			if want := []int{16, 3, 3, 3, 3, 2}; !slices.Equal(entries, want) { // of the first one nothing was known
				t.Errorf("pages of %v entries; want %v", entries, want)
			}
		})
	}
}

func decoded(raw []eventlog.Raw) (list []eventlog.Entry) {
	for _, r := range raw {
		list = append(list, r.Entry())
	}
	return list
}

func TestPagesOfShortEntriesGrowToWhatTheyMayHave(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	mixed(h, 150)
	g := h.log.Pages(50)
	_, _, entries := pagesOf(t, server, events.ID{}, func(at events.ID) ([]eventlog.Entry, bool, error) {
		return g.Range(t.Context(), h.p, at, events.MaxID)
	})
	if want := []int{16, 32, 50, 50, 2}; !slices.Equal(entries, want) {
		t.Errorf("pages of %v entries; want %v", entries, want)
	}
}
