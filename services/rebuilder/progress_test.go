package rebuilder_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/archive"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/rebuilder"
)

func TestProgressCountsWhatAnArchiveHas(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p := log.Partitions()[0]
	h := &house{log: log, rdb: log.Conn().View, fail: t.Fatal}
	for i := range 50 {
		_, err := log.Request(t.Context(), eventlog.Request{
			Task: fmt.Sprintf("t%d", i), Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1},
		})
		h.must(err)
	}
	end, err := log.Last(t.Context(), p)
	h.must(err)
	h.must(h.rdb.HSet(t.Context(), p.View("head"), "checkpoint", end.String()).Err()) // the views need none of it
	a, err := archive.Create(t.Context(), t.TempDir(), log.Prefix())
	h.must(err)
	t.Cleanup(func() { _ = a.Close() })
	_, err = a.Write(t.Context(), log, p, archive.Config{All: true, Lag: time.Nanosecond})
	h.must(err)
	_, err = a.Trim(t.Context(), log, p, archive.Retention{Events: 1})
	h.must(err)
	if n, err := log.Len(t.Context(), p); err != nil || n != 1 {
		t.Fatalf("%d entries are in Redis, %v", n, err)
	}
	log.Attach(a)
	var done, total int64
	sum, err := rebuilder.Run(t.Context(), log, rebuilder.Config{LeaseTTL: time.Minute, Progress: func(d, all int64) { done, total = d, all }})
	h.must(err)
	if sum.Entries != 50 || done != 50 || total != 50 {
		t.Errorf("%d entries were read, and it told %d of %d", sum.Entries, done, total)
	}
}
