package network_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/infra/testredis/network"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestANetworkIsAsBadAsItIsTold(t *testing.T) {
	server := testredis.Start(t)
	net := network.Start(t, server.Addr())
	o, err := redis.ParseURL(net.URL())
	if err != nil {
		t.Fatal(err)
	}
	o.MaxRetries, o.Protocol, o.ContextTimeoutEnabled = -1, 2, true
	rdb := redis.NewClient(o)
	t.Cleanup(func() { _ = rdb.Close() })
	incr := func() (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := rdb.Incr(ctx, "n").Err()
		return time.Since(began), err
	}
	healthy := func() {
		t.Helper()
		net.Heal()
		for tries := 0; ; tries++ {
			if _, err := incr(); err == nil {
				return
			} else if tries == 20 { // as many as the pool may hold broken connections
				t.Fatal(err)
			}
		}
	}
	count := func() string { return server.Client().Get(t.Context(), "n").Val() }
	healthy()
	net.Slow(network.Replies, 100*time.Millisecond, 0)
	if took, err := incr(); err != nil || took < 100*time.Millisecond {
		t.Errorf("slow: %s, %v", took, err)
	}
	healthy()
	for name, break_ := range map[string]struct {
		do   func()
		done bool
	}{
		"swallow replies":  {func() { net.Swallow(network.Replies) }, true},
		"swallow requests": {func() { net.Swallow(network.Requests) }, false},
		"swallow both":     {func() { net.Swallow(network.Requests, network.Replies) }, false},
		"cut replies":      {func() { net.Cut(network.Replies, 2) }, true},
		"cut requests":     {func() { net.Cut(network.Requests, 5) }, false},
		"reset requests":   {func() { net.Reset(network.Requests) }, false},
		"reset replies":    {func() { net.Reset(network.Replies) }, true},
	} {
		before := count()
		break_.do()
		if _, err := incr(); err == nil {
			t.Errorf("%s: it answers", name)
		}
		if changed := count() != before; changed != break_.done {
			t.Errorf("%s: Redis did it: %t, want %t", name, changed, break_.done)
		}
		healthy()
	}
}
