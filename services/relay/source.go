package relay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/bus"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const (
	nackDelay     = time.Second
	claimInterval = 15 * time.Second
	adoptPage     = 200 // far more than the three entries that the stock subscriber takes ahead
)

// maxIdle is when an entry counts as left behind. The stock subscriber reads two entries ahead of the
// one it handles, and does not tell Redis that it still handles it: less, and another relay would take
// entries from a live one.
func (c Config) maxIdle() time.Duration { return max(time.Minute, 4*c.longest()) }

// open returns a stock subscriber of a partition, with a Redis client that it closes.
func (r *Relay) open(ctx context.Context, p eventlog.Partition) (message.Subscriber, error) {
	client := r.log.Conn().Dedicated()
	bus.NamePositions(client)
	if err := r.adopt(ctx, client, p.Events); err != nil {
		_ = client.Close()
		return nil, err
	}
	return redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:        client,
		Unmarshaller:  bus.Unmarshaller{},
		Consumer:      r.cfg.Consumer,
		ConsumerGroup: r.cfg.Group,
		OldestId:      "0",
		BlockTime:     eventlog.MaxBlock,
		// Its first read else waits for ever, on a connection that may be dead.
		DisableIndefiniteInitialBlock: true,
		NackResendSleep:               nackDelay,
		ClaimInterval:                 claimInterval,
		MaxIdleTime:                   r.cfg.maxIdle(),
		// It deletes idle consumers in two steps, and between them a consumer may have taken an entry,
		// which would then be lost to the group. So it never does.
		CheckConsumersInterval: 24 * time.Hour,
		ConsumerTimeout:        math.MaxInt64,
		ShouldStopOnReadErrors: hopeless,
	}, bus.NewLogger(r.slog))
}

// hopeless reports errors that do not go away. The stock subscriber would retry them for ever: without a
// group, where the supervisor makes it again, and with the client that it has closed itself.
func hopeless(err error) bool {
	return strings.HasPrefix(err.Error(), "NOGROUP") || errors.Is(err, redis.ErrClosed) || errors.Is(err, net.ErrClosed)
}

// adopt makes what an earlier life of this consumer left behind count as idle: the stock subscriber
// takes idle entries first, in order, and would not look among its own for new ones.
func (r *Relay) adopt(ctx context.Context, client redis.UniversalClient, stream string) error {
	left, err := client.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: stream, Group: r.cfg.Group, Start: "-", End: "+", Count: adoptPage, Consumer: r.cfg.Consumer,
	}).Result()
	if err != nil && strings.HasPrefix(err.Error(), "NOGROUP") || len(left) == 0 && err == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for entries left behind in %s: %w", stream, err)
	}
	args := []any{"XCLAIM", stream, r.cfg.Group, r.cfg.Consumer, 0}
	for _, e := range left {
		args = append(args, e.ID)
	}
	args = append(args, "IDLE", (r.cfg.maxIdle() + time.Second).Milliseconds(), "JUSTID")
	if err := client.Do(ctx, args...).Err(); err != nil {
		return fmt.Errorf("take up entries left behind in %s: %w", stream, err)
	}
	return nil
}
