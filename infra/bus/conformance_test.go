package bus_test

import (
	"log"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tasklog/tasklog/infra/bus"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestMain(m *testing.M) {
	log.SetOutput(discard{}) // Watermill's suite tells everything
	// The suite's own multiplier leaves behind what it did not read.
	const multiplier = "github.com/ThreeDotsLabs/watermill/internal/subscriber.(*multiplier).Subscribe."
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(multiplier+"func2"), goleak.IgnoreAnyFunction(multiplier+"func3"))
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// newClient returns a client with room for blocking reads, closed when the test ends.
func newClient(t *testing.T, s *testredis.Server) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, Protocol: 2, PoolSize: 400, DisableIdentity: true})
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

// conforms runs Watermill's own suite. Everything in it may be a few times slower than usual.
func conforms(t *testing.T, features tests.Features, cfg bus.SubscriberConfig) {
	t.Helper()
	cfg.Client = newClient(t, testredis.Start(t))
	cfg.Block = 100 * time.Millisecond
	cfg.NackDelay = time.Millisecond
	cfg.ClaimIdle = time.Second
	cfg.Grace = 100 * time.Millisecond
	group := func(t *testing.T, name string) (message.Publisher, message.Subscriber) {
		t.Helper()
		pub, err := bus.NewPublisher(bus.PublisherConfig{Client: cfg.Client})
		if err != nil {
			t.Fatal(err)
		}
		cfg := cfg
		cfg.Group = name
		sub, err := bus.NewSubscriber(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sub.Close() }) // the suite forgets some
		return pub, sub
	}
	fresh := func(t *testing.T) (message.Publisher, message.Subscriber) {
		t.Helper()
		return group(t, watermill.NewShortUUID())
	}
	t.Run("suite", func(t *testing.T) { tests.TestPubSub(t, features, fresh, group) })
}

func TestManyInFlightConformToWatermill(t *testing.T) {
	conforms(t, tests.Features{
		ConsumerGroups: true, Persistent: true, NewSubscriberReceivesOldMessages: true, ForceShort: true,
	}, bus.SubscriberConfig{MaxInFlight: 64})
}

func TestOneInFlightConformsToWatermillInOrder(t *testing.T) {
	conforms(t, tests.Features{
		ConsumerGroups: true, Persistent: true, NewSubscriberReceivesOldMessages: true, ForceShort: true,
		GuaranteedOrder: true, GuaranteedOrderWithSingleSubscriber: true,
	}, bus.SubscriberConfig{MaxInFlight: 1})
}
