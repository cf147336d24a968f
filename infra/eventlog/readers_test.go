package eventlog_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestReadersTellHowFarTheyCame(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		if list := must(h.log.ReadersOf(t.Context(), h.p))(h); len(list) != 0 {
			t.Errorf("an empty log has the readers %+v", list)
		}
		if n := must(h.log.Bytes(t.Context(), h.p))(h); n != 0 {
			t.Errorf("an empty log takes %d bytes", n)
		}
		for i := range 9 {
			h.requested(fmt.Sprint("t", i))
		}
		all := h.entries()
		h.succeed(h.rdb.XGroupCreate(t.Context(), h.p.Events, "hook", "0").Err())
		h.succeed(h.rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: "hook", Consumer: "c", Streams: []string{h.p.Events, ">"}, Count: 4}).Err())
		h.succeed(h.rdb.XAck(t.Context(), h.p.Events, "hook", all[0].ID.String()).Err())
		h.succeed(h.rdb.HSet(t.Context(), h.p.Readers, "view:mine:1", all[6].ID.String()).Err())
		list := must(h.log.ReadersOf(t.Context(), h.p))(h)
		want := []eventlog.Reader{
			{Name: "hook", Group: true, At: all[3].ID, Entries: 5, Pending: 3},
			{Name: "view:mine:1", At: all[6].ID, Entries: -1},
		}
		if len(list) == 2 && list[0].Entries == int64(len(all)) {
			want[0].Entries = list[0].Entries // the embedded Redis counts what was read, too
		}
		if !slices.Equal(list, want) {
			t.Errorf("readers %+v, want %+v", list, want)
		}
		h.succeed(h.rdb.HSet(t.Context(), h.p.Readers, "odd", "nowhere").Err())
		if _, err := h.log.ReadersOf(t.Context(), h.p); err == nil {
			t.Error("a reader that is nowhere is told")
		}
	})
}

func TestTheStreamsMemoryIsTold(t *testing.T) {
	h := newHand(t, open(t, testredis.Start(t).URL(), 1))
	for i := range 200 {
		h.requested(fmt.Sprint("t", i))
	}
	if n := must(h.log.Bytes(t.Context(), h.p))(h); n < 200*50 || n > 1<<20 {
		t.Errorf("200 entries take %d bytes", n)
	}
}

func TestLabelsAreThoseOfTheRows(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		h.requested("a", "b")
		h.succeed(h.rdb.Set(t.Context(), h.p.Task("odd"), "no row", 0).Err())
		got := must(h.log.LabelsOf(t.Context(), h.p, []string{"a", "gone", "odd"}))(h)
		if want := h.task("a").Label; len(got) != 1 || got["a"] != want || want == (events.Label{}) {
			t.Errorf("labels %v, want that of a: %v", got, want)
		}
		if got := must(h.log.LabelsOf(t.Context(), h.p, nil))(h); len(got) != 0 {
			t.Errorf("labels of nothing: %v", got)
		}
	})
}
