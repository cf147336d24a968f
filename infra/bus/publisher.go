package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"
)

// ErrClosed reports a Publisher or Subscriber that is used after it was closed.
var ErrClosed = errors.New("closed")

// ErrRepeats reports a Redis client that repeats commands by itself. It would write a message twice
// when only the answer was lost. Give redis.Options{MaxRetries: -1}.
var ErrRepeats = errors.New("the Redis client repeats commands by itself")

// ErrLog reports a message for the log. Only decisions append to it, so that it never holds an event
// that cannot be: ask infra/eventlog, services/client or the API.
var ErrLog = errors.New("the log is appended to by decisions alone")

// PublisherConfig configures a Publisher.
type PublisherConfig struct {
	// Client writes. It must not repeat commands by itself. The Publisher does not close it.
	Client redis.UniversalClient
	// MaxLen is about how many entries a stream keeps; the oldest leave first, whether or not anybody
	// has read them. Zero means that none ever leave.
	MaxLen int64
}

// Publisher appends messages to Redis streams. It is a Publisher of Watermill, and a topic is the
// key of a stream.
type Publisher struct {
	cfg    PublisherConfig
	closed atomic.Bool
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher returns a Publisher. It returns ErrRepeats for a client that would write twice.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if cfg.Client == nil {
		return nil, errors.New("publisher: there is no Redis client")
	}
	if repeats(cfg.Client) {
		return nil, fmt.Errorf("publisher: %w", ErrRepeats)
	}
	return &Publisher{cfg: cfg}, nil
}

func repeats(client redis.UniversalClient) bool {
	switch c := client.(type) {
	case *redis.Client:
		return c.Options().MaxRetries > 0
	case *redis.ClusterClient:
		return c.Options().MaxRetries > 0
	}
	return false // an AutoPipeliner is as its client is, and does not say
}

// eventsKey matches the streams of a log, under any prefix.
var eventsKey = regexp.MustCompile(`:\{\d+\}:events$`)

// Publish appends messages to a stream, in order and in one round trip, but not as one: of several
// messages the first ones may be there when it fails. An error of the network means unknown: the
// messages may have been appended, and a caller that publishes again may append them twice, with the
// same UUIDs. It returns ErrLog for a topic that is a log, and ErrMetadata. The context is that of the
// first message.
func (p *Publisher) Publish(topic string, msgs ...*message.Message) error {
	switch {
	case p.closed.Load():
		return fmt.Errorf("publish to %s: %w", topic, ErrClosed)
	case eventsKey.MatchString(topic):
		return fmt.Errorf("publish to %s: %w", topic, ErrLog)
	case len(msgs) == 0:
		return nil
	}
	entries := make([]*redis.XAddArgs, len(msgs))
	for i, msg := range msgs {
		values, err := fields(msg)
		if err != nil {
			return fmt.Errorf("publish to %s: %w", topic, err)
		}
		entries[i] = &redis.XAddArgs{Stream: topic, Values: values, MaxLen: p.cfg.MaxLen, Approx: p.cfg.MaxLen > 0}
	}
	if err := p.add(msgs[0].Context(), entries); err != nil {
		return fmt.Errorf("publish %d messages to %s: %w", len(msgs), topic, err)
	}
	return nil
}

func (p *Publisher) add(ctx context.Context, entries []*redis.XAddArgs) error {
	if len(entries) == 1 {
		return p.cfg.Client.XAdd(ctx, entries[0]).Err()
	}
	_, err := p.cfg.Client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, e := range entries {
			pipe.XAdd(ctx, e)
		}
		return nil
	})
	return err
}

// Close ends the Publisher, and leaves its client open. It may be called again.
func (p *Publisher) Close() error {
	p.closed.Store(true)
	return nil
}
