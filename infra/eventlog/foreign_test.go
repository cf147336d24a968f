package eventlog_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// What an operator or another program wrote among our keys must not stop what is ours.
func TestForeignRowsAndMembersStopNobody(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 1)
		p, ctx, rdb := log.Partitions()[0], t.Context(), log.Conn().View
		r := eventlog.Request{Task: "good", Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 1}}
		if _, err := log.Request(ctx, r); err != nil {
			t.Fatal(err)
		}
		place := "0000000000000-0000000000:"
		for _, err := range []error{
			rdb.Set(ctx, p.Task("string"), "x", 0).Err(),
			rdb.HSet(ctx, p.Task("empty"), "state", "waiting", "queue", "q", "dueAt", "1").Err(),
			rdb.HSet(ctx, p.Task("deep"), "state", "waiting", "def", "{", "label", "[", "requested", "1-1").Err(),
			rdb.HSet(ctx, p.Task("words"), "state", "waiting", "queue", "q", "def", "", "label", "", "requested", "1-1", "priority", "high", "dueAt", "soon").Err(),
			rdb.HSet(ctx, p.Task("spaces"), "state", "waiting", "queue", "q", "def", "", "label", "", "requested", " ", "priority", "1", "dueAt", "1").Err(),
			rdb.ZAdd(ctx, p.Waiting("q"), redis.Z{Member: "short"}, redis.Z{Member: place + "empty"}, redis.Z{Member: place + "nobody"},
				redis.Z{Member: place + "string"}, redis.Z{Member: place + "words"}, redis.Z{Member: place + "spaces"}).Err(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		tasks, err := log.Tasks(ctx, p, []string{"string", "empty", "deep", "nobody", "good"})
		if err != nil || len(tasks) != 1 || tasks[0].ID != "good" {
			t.Errorf("Tasks = %v, %v, want the good one", tasks, err)
		}
		done, err := log.Due(ctx, p, "q", 10, rdb.ZRange(ctx, p.Waiting("q"), 0, -1).Val())
		if err != nil || done.Done != 1 {
			t.Errorf("Due = %+v, %v, want the good one done", done, err)
		}
		if left := rdb.ZRange(ctx, p.Waiting("q"), 0, -1).Val(); len(left) != 0 {
			t.Errorf("%q still wait", left)
		}
		for _, task := range []string{"empty", "deep", "words", "spaces"} {
			if put, err := log.Mend(ctx, p, task, "q"); err != nil || put != "" {
				t.Errorf("Mend of %s = %q, %v, want nothing put back", task, put, err)
			}
		}
	})
}
