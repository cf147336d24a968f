package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// SubscriberConfig configures a Subscriber.
type SubscriberConfig struct {
	// Client reads and acknowledges. Every subscription holds one of its connections for blocking
	// reads, and now and then another. The Subscriber does not close it.
	Client redis.UniversalClient
	// Group is the consumer group. Groups see all entries each, the subscribers of a group share them.
	Group string
	// Consumer is the subscriber's name in its group. Empty means the host's name and a number that
	// counts the subscribers of this process: a name that a restart finds again, so that names do not
	// pile up in Redis. Two subscribers may have the same name.
	Consumer string
	// MaxInFlight is how many messages of a subscription may be without an answer at a time. Zero
	// means 64. With 1, and one subscriber, messages are handled in the order of the stream, also when
	// some are refused and over a Close; only what a subscriber held that was killed comes late.
	MaxInFlight int
	// Block is how long a read waits for entries. Zero means 2 s, which is also the most: a read
	// cannot be interrupted, so that Close takes as long.
	Block time.Duration
	// NackDelay is how long after it was refused a message is delivered again. Zero means 1 s.
	NackDelay time.Duration
	// ClaimIdle is how long an entry of a subscriber that fell silent is left alone before another
	// takes it. Entries whose handlers run are kept, however long these take. Zero means 60 s; under
	// 100 ms is an error.
	ClaimIdle time.Duration
	// Grace is how long Close waits for handlers to answer before the contexts of their messages end.
	// Zero means 10 s, less than nothing means not at all.
	Grace time.Duration
	// Unmarshaller reads entries. Nil means our Unmarshaller.
	Unmarshaller interface {
		Unmarshal(values map[string]any) (*message.Message, error)
	}
	// Metrics is where the subscriber registers what it counts. Nil means nowhere.
	Metrics prometheus.Registerer
}

func (c SubscriberConfig) withDefaults() SubscriberConfig {
	if c.Consumer == "" {
		c.Consumer = defaultConsumer()
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 64
	}
	if c.Block == 0 {
		c.Block = eventlog.MaxBlock
	}
	if c.NackDelay == 0 {
		c.NackDelay = time.Second
	}
	if c.ClaimIdle == 0 {
		c.ClaimIdle = time.Minute
	}
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
	if c.Unmarshaller == nil {
		c.Unmarshaller = Unmarshaller{}
	}
	return c
}

func (c SubscriberConfig) validate() error {
	switch {
	case c.Client == nil:
		return errors.New("subscriber: there is no Redis client")
	case c.Group == "":
		return errors.New("subscriber: the consumer group has no name")
	case c.MaxInFlight < 1 || c.MaxInFlight > 1<<16:
		return fmt.Errorf("subscriber: %d messages in flight; want 1 … %d", c.MaxInFlight, 1<<16)
	case c.Block < time.Millisecond || c.Block > eventlog.MaxBlock:
		return fmt.Errorf("subscriber: a read that waits for %s; want 1ms … %s", c.Block, eventlog.MaxBlock)
	case c.NackDelay < 0:
		return fmt.Errorf("subscriber: nack delay %s is less than nothing", c.NackDelay)
	case c.ClaimIdle < 100*time.Millisecond:
		return fmt.Errorf("subscriber: entries that count as idle after %s would be taken from live subscribers; want 100ms or more", c.ClaimIdle)
	}
	return nil
}

// consumers counts the subscribers of this process that were not given a name.
var consumers atomic.Int64

func defaultConsumer() string {
	host, err := os.Hostname()
	if err != nil {
		host = "consumer"
	}
	return host + "-" + strconv.FormatInt(consumers.Add(1), 10)
}

// Subscriber reads Redis streams through a consumer group, in batches, and hands many messages out
// at a time. It is a Subscriber of Watermill, and a topic is the key of a stream.
type Subscriber struct {
	cfg     SubscriberConfig
	log     *slog.Logger
	metrics metrics
	closing chan struct{}

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// NewSubscriber returns a Subscriber. A nil logger says nothing.
func NewSubscriber(cfg SubscriberConfig, logger *slog.Logger) (*Subscriber, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Subscriber{cfg: cfg, log: logger, metrics: newMetrics(cfg.Metrics), closing: make(chan struct{})}, nil
}

// SubscribeInitialize makes the stream and the group, at the start of the stream, where they are missing.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	return s.makeGroup(context.Background(), topic)
}

func (s *Subscriber) makeGroup(ctx context.Context, topic string) error {
	// From 0 and never from $: what was appended before the group was made is not lost.
	err := s.cfg.Client.XGroupCreateMkStream(ctx, topic, s.cfg.Group, "0").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return fmt.Errorf("make group %s of %s: %w", s.cfg.Group, topic, err)
	}
	return nil
}

// Subscribe delivers the entries of a stream until ctx ends or the Subscriber is closed; then it
// closes the channel. A stream or group that is missing is made. While Redis is away it waits.
//
// A message that is acknowledged is acknowledged in Redis and not delivered again. One that is refused
// is delivered again after NackDelay. One without an answer at the end is given back to the group, for
// the next subscriber that looks. The context of a message ends when it is answered.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, ErrClosed)
	}
	if err := s.makeGroup(ctx, topic); err != nil && !eventlog.Unavailable(err) {
		return nil, err
	}
	sub := newSubscription(ctx, s, topic)
	s.running.Go(sub.run)
	return sub.out, nil
}

// Close ends every subscription and waits until all of it is over, at the latest some Block and Grace
// later. It leaves the client open. It may be called again.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
