package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/bus"
)

// What follows holds for the stock subscriber with our parts around it. Its pitfalls are stated as
// tests too where that is cheap: when one of these fails, an upgrade has made a part of ours needless.

// stock returns watermill-redisstream's subscriber, with a client of its own.
func (h *house) stock(cfg redisstream.SubscriberConfig) *redisstream.Subscriber {
	h.Helper()
	cfg.Client = redis.NewClient(&redis.Options{Addr: h.server.Addr(), MaxRetries: -1, Protocol: 2, DisableIdentity: true})
	bus.NamePositions(cfg.Client)
	cfg.ConsumerGroup, cfg.Consumer, cfg.OldestId = group, "c", "0"
	cfg.BlockTime, cfg.DisableIndefiniteInitialBlock = 50*time.Millisecond, true
	stop := cfg.ShouldStopOnReadErrors
	cfg.ShouldStopOnReadErrors = func(err error) bool {
		return errors.Is(err, redis.ErrClosed) || stop != nil && stop(err)
	}
	sub, err := redisstream.NewSubscriber(cfg, bus.NewLogger(slog.New(slog.NewTextHandler(h.said, nil))))
	if err != nil {
		h.Fatal(err)
	}
	return sub
}

func nogroup(err error) bool { return strings.HasPrefix(err.Error(), "NOGROUP") }

func (h *house) follow(sub message.Subscriber) <-chan *message.Message {
	h.Helper()
	h.Cleanup(func() { _ = sub.Close() })
	msgs, err := sub.Subscribe(h.Context(), stream)
	if err != nil {
		h.Fatal(err)
	}
	return msgs
}

func (h *house) ends(msgs <-chan *message.Message) {
	h.Helper()
	select {
	case msg, open := <-msgs:
		if open {
			h.Fatalf("message %q, want the end of the subscription", msg.Payload)
		}
	case <-time.After(patient):
		h.Fatal("the subscription does not end")
	}
}

func TestTheStockSubscriberEndsForEverAtAnEntryThatItsUnmarshallerRefuses(t *testing.T) {
	h := build(t)
	h.publish("bad", "good")
	h.ends(h.follow(h.stock(redisstream.SubscriberConfig{Unmarshaller: picky{}})))
}

func TestTheStockSubscriberSurvivesAnUndecodableEntryWithOurUnmarshaller(t *testing.T) {
	h := build(t)
	id, err := h.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{"no", "event"}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	h.publish("good")
	msgs := h.follow(h.stock(redisstream.SubscriberConfig{Unmarshaller: bus.Unmarshaller{}}))
	bad := h.next(msgs, "")
	if bad.Metadata.Get(bus.MetaUndecodable) == "" || bad.Metadata.Get(bus.MetaID) != id || bad.Metadata.Get(bus.MetaStream) != stream {
		t.Errorf("metadata %q, want a mark and the position %s", bad.Metadata, id)
	}
	bad.Ack()
	h.next(msgs, "good").Ack()
	h.settled()
}

func TestTheStockSubscriberNamesThePositionOfWhatItClaims(t *testing.T) {
	h := build(t)
	h.publish("left behind")
	if err := h.rdb.XGroupCreateMkStream(t.Context(), stream, group, "0").Err(); err != nil {
		t.Fatal(err)
	}
	left, err := h.rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: group, Consumer: "dead", Streams: []string{stream, ">"}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	msgs := h.follow(h.stock(redisstream.SubscriberConfig{Unmarshaller: bus.Unmarshaller{}, MaxIdleTime: time.Millisecond, ClaimInterval: 10 * time.Millisecond}))
	msg := h.next(msgs, "left behind")
	if got, want := msg.Metadata.Get(bus.MetaID), left[0].Messages[0].ID; got != want {
		t.Errorf("position %q, want %q", got, want)
	}
	msg.Ack()
}

func TestTheStockSubscriberUnderASupervisorGetsOverAGroupThatIsGone(t *testing.T) {
	h := build(t)
	msgs := h.follow(bus.Supervise(func() (message.Subscriber, error) {
		return h.stock(redisstream.SubscriberConfig{Unmarshaller: bus.Unmarshaller{}, ShouldStopOnReadErrors: nogroup}), nil
	}, slog.New(slog.NewTextHandler(h.said, nil)), h.reg))
	h.publish("before")
	h.next(msgs, "before").Ack()
	h.settled()
	if err := h.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	h.publish("after")
	h.next(msgs, "after").Ack()
	h.settled()
	if n := h.count("restarts_total"); n < 1 {
		t.Errorf("%v restarts counted, want one", n)
	}
}

func TestASupervisorSurvivesWhateverEnds(t *testing.T) {
	h := build(t)
	var mu sync.Mutex
	opened, closed := 0, 0
	super := bus.Supervise(func() (message.Subscriber, error) {
		mu.Lock()
		defer mu.Unlock()
		opened++
		if opened == 1 {
			return nil, errors.New("not now")
		}
		return brief{n: opened, closed: func() { mu.Lock(); closed++; mu.Unlock() }}, nil
	}, nil, nil)
	msgs := h.follow(super)
	h.next(msgs, "3").Ack() // the second cannot subscribe
	h.next(msgs, "4").Ack()
	if err := super.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	h.ends(msgs)
	if opened-1 != closed {
		t.Errorf("%d subscribers opened, %d closed", opened-1, closed)
	}
	if _, err := super.Subscribe(t.Context(), stream); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Subscribe = %v, want ErrClosed", err)
	}
}

// brief is a subscriber that delivers one message and ends.
type brief struct {
	n      int
	closed func()
}

func (b brief) Subscribe(context.Context, string) (<-chan *message.Message, error) {
	if b.n == 2 {
		return nil, errors.New("not yet")
	}
	msgs := make(chan *message.Message, 1)
	msgs <- message.NewMessage(watermill.NewUUID(), fmt.Append(nil, b.n))
	close(msgs)
	return msgs, nil
}

func (b brief) Close() error {
	b.closed()
	return nil
}

func TestMessagesPassBetweenTheStockPubSubAndOurs(t *testing.T) {
	h := build(t)
	client := redis.NewClient(&redis.Options{Addr: h.server.Addr(), MaxRetries: -1})
	theirs, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client, Marshaller: bus.Marshaller{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	in := message.NewMessage("u-1", []byte("\x00 any bytes \xff"))
	in.Metadata = message.Metadata{"type": "Other", "k": "<v>"}
	if err := theirs.Publish(stream, in.Copy()); err != nil {
		t.Fatal(err)
	}
	ours, _ := h.subscribe(bus.SubscriberConfig{})
	out := h.next(ours, string(in.Payload))
	for k, v := range in.Metadata {
		if out.Metadata[k] != v {
			t.Errorf("metadata %s is %q, want %q", k, out.Metadata[k], v)
		}
	}
	if out.UUID != in.UUID {
		t.Errorf("UUID %q, want %q", out.UUID, in.UUID)
	}
	out.Ack()
}
