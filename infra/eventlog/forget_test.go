package eventlog_test

import (
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestAConsumerIsForgottenWhenItHoldsNothing(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 1)
		p, ctx := log.Partitions()[0], t.Context()
		if gone, err := log.Forget(ctx, p, "mail", "w"); !gone || err != nil {
			t.Errorf("without a stream: %t, %v", gone, err)
		}
		if err := log.CreateGroup(ctx, p, "mail"); err != nil {
			t.Fatal(err)
		}
		r := eventlog.Request{Task: "a", Label: events.Label{Queue: "mail", Name: "test"}, Definition: events.Definition{MaxAttempts: 1}}
		if _, err := log.Request(ctx, r); err != nil {
			t.Fatal(err)
		}
		members := log.Conn().View.ZRange(ctx, p.Waiting("mail"), 0, -1).Val()
		if _, err := log.Due(ctx, p, "mail", 10, members); err != nil {
			t.Fatal(err)
		}
		taken, err := log.Take(ctx, p, "w", []string{"mail"}, 1, time.Second)
		if err != nil || len(taken) != 1 {
			t.Fatalf("took %v, %v", taken, err)
		}
		if gone, err := log.Forget(ctx, p, "mail", "w"); gone || err != nil {
			t.Errorf("with an entry that it took: %t, %v", gone, err)
		}
		if err := log.Discard(ctx, p, "mail", taken[0].Entry); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if gone, err := log.Forget(ctx, p, "mail", "w"); !gone || err != nil {
				t.Errorf("with nothing: %t, %v", gone, err)
			}
		}
		if left := log.Conn().View.XInfoConsumers(ctx, p.Due("mail"), eventlog.Group).Val(); len(left) != 0 {
			t.Errorf("consumers are left: %v", left)
		}
	})
}
