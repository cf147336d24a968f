package eventlog_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// strange returns entries as nobody of us writes them.
func strange(n int) []eventlog.Raw {
	list := make([]eventlog.Raw, n)
	for i := range list {
		list[i] = eventlog.Raw{ID: events.ID{Ms: 5, Seq: uint64(i)}, Fields: []string{"x", string(rune('a' + i)), "", "\x00\xff\n"}}
	}
	return list
}

func TestEntriesAreAdoptedAsTheyAreAndOnceHoweverTheyOverlap(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		all := strange(10)
		h.succeed(h.log.Swap(t.Context(), h.p, "", "me"))
		for _, part := range [][2]int{{0, 3}, {0, 3}, {2, 6}, {0, 1}, {6, 6}, {6, 10}, {3, 7}} {
			h.succeed(h.log.Adopt(t.Context(), h.p, "me", int64(part[0]), all[part[0]:part[1]]))
		}
		if got := h.raws(); !reflect.DeepEqual(got, all) {
			t.Errorf("got %q, want %q", got, all)
		}
	})
}

func TestNothingIsAdoptedPastAHoleOrThroughAGateOfSomebodyElse(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		all := strange(10)
		for _, gate := range []string{"", "other"} {
			if err := h.log.Adopt(t.Context(), h.p, "me", 0, all); !errors.Is(err, eventlog.ErrMoved) {
				t.Errorf("the gate holds %q: %v", gate, err)
			}
			h.succeed(h.rdb.Set(t.Context(), h.p.Rebuild, "other", 0).Err())
		}
		h.succeed(h.log.Swap(t.Context(), h.p, "other", "me"))
		h.succeed(h.log.Adopt(t.Context(), h.p, "me", 0, all[:3]))
		if err := h.log.Adopt(t.Context(), h.p, "me", 4, all[4:]); err == nil || !strings.Contains(err.Error(), "3 entries and not 4") {
			t.Errorf("over a hole: %v", err)
		}
		if got := h.raws(); !reflect.DeepEqual(got, all[:3]) {
			t.Errorf("got %q", got)
		}
	})
}
