package eventlog_test

import (
	"testing"

	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestInfoTellsWhereTheStreamBeginsAndEnds(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		if i := must(h.log.Info(t.Context(), h.p))(h); i != (eventlog.Info{}) {
			t.Errorf("of a stream that is not there it says %+v", i)
		}
		h.requested("a", "b", "c")
		all := h.all()
		must(h.rdb.XDel(t.Context(), h.p.Events, all[0].ID.String()).Result())(h)
		i := must(h.log.Info(t.Context(), h.p))(h)
		if i.Length != 2 || i.First != all[1].ID || i.Last != all[2].ID {
			t.Errorf("%+v, want %s to %s", i, all[1].ID, all[2].ID)
		}
	})
}
