package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/bus"
	"github.com/tasklog/tasklog/infra/testredis"
)

// A house is a stream with a group, and subscribers of it.
type house struct {
	*testing.T
	server *testredis.Server
	rdb    *redis.Client
	reg    *prometheus.Registry
	said   *buffer
}

const (
	stream  = "tasklog:{0}:orders"
	group   = "g"
	patient = 20 * time.Second
)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func build(t *testing.T, args ...string) *house {
	t.Helper()
	server := testredis.Start(t, args...)
	return &house{T: t, server: server, rdb: newClient(t, server), reg: prometheus.NewRegistry(), said: &buffer{}}
}

// subscribe returns a subscription that ends with the test, and what ends it sooner.
func (h *house) subscribe(cfg bus.SubscriberConfig) (<-chan *message.Message, *bus.Subscriber) {
	h.Helper()
	cfg.Client, cfg.Group, cfg.Metrics = h.rdb, group, h.reg
	if cfg.Block == 0 {
		cfg.Block = 50 * time.Millisecond
	}
	if cfg.Grace == 0 {
		cfg.Grace = -1
	}
	sub, err := bus.NewSubscriber(cfg, slog.New(slog.NewTextHandler(h.said, nil)))
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = sub.Close() })
	msgs, err := sub.Subscribe(h.Context(), stream)
	if err != nil {
		h.Fatal(err)
	}
	return msgs, sub
}

func (h *house) publish(payloads ...string) {
	h.Helper()
	pub, err := bus.NewPublisher(bus.PublisherConfig{Client: h.rdb})
	if err != nil {
		h.Fatal(err)
	}
	for _, p := range payloads {
		if err := pub.Publish(stream, message.NewMessage("uuid-"+p, []byte(p))); err != nil {
			h.Fatal(err)
		}
	}
}

// next returns the next message, whose payload must be want.
func (h *house) next(msgs <-chan *message.Message, want string) *message.Message {
	h.Helper()
	msg := h.any(msgs, want)
	if string(msg.Payload) != want {
		h.Fatalf("message %q, want %q", msg.Payload, want)
	}
	return msg
}

// any returns the next message.
func (h *house) any(msgs <-chan *message.Message, what string) *message.Message {
	h.Helper()
	select {
	case msg, ok := <-msgs:
		if !ok {
			h.Fatalf("the subscription ended before %s\n%s", what, h.said)
		}
		return msg
	case <-time.After(patient):
		h.Fatalf("no message %s\n%s", what, h.said)
	}
	return nil
}

// settled waits until nothing of the group is pending.
func (h *house) settled() {
	h.Helper()
	h.until("nothing is pending", func() bool {
		p, err := h.rdb.XPending(h.Context(), stream, group).Result()
		return err == nil && p.Count == 0
	})
}

func (h *house) until(what string, ok func() bool) {
	h.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patient); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			h.Fatalf("never: %s\n%s", what, h.said)
		}
	}
}

// count returns a counter of the subscribers.
func (h *house) count(name string) float64 {
	h.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tasklog_bus_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	h.Fatalf("there is no counter %s", name)
	return 0
}

func TestAMessageSaysWhereItStands(t *testing.T) {
	h := build(t)
	id, err := h.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{
		"type", "QueuePaused", "task", "", "v", "1", "data", `{"queue":"q","by":"x"}`,
	}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	msgs, _ := h.subscribe(bus.SubscriberConfig{})
	msg := h.next(msgs, `{"queue":"q","by":"x"}`)
	e, err := bus.Decode(msg)
	if err != nil || e.ID.String() != id || msg.Metadata.Get(bus.MetaStream) != stream {
		t.Errorf("Decode = %+v, %v with %q, want the id %s", e, err, msg.Metadata, id)
	}
	msg.Ack()
}

func TestAnUndecodableEntryIsSkippedCountedLoggedAndAcknowledged(t *testing.T) {
	h := build(t)
	id, err := h.rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []any{"type", "TaskGone", "x", "y"}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	h.publish("good")
	msgs, _ := h.subscribe(bus.SubscriberConfig{})
	h.next(msgs, "good").Ack()
	h.settled()
	if h.count("undecodable_total") != 1 || !strings.Contains(h.said.String(), id) {
		t.Errorf("%v entries counted; log:\n%s", h.count("undecodable_total"), h.said)
	}
}

func TestAnUnmarshallerThatFailsStopsNobody(t *testing.T) {
	h := build(t)
	h.publish("bad", "good")
	msgs, _ := h.subscribe(bus.SubscriberConfig{Unmarshaller: picky{}})
	h.next(msgs, "good").Ack()
	h.settled()
}

type picky struct{ bus.Unmarshaller }

func (p picky) Unmarshal(values map[string]any) (*message.Message, error) {
	if values["data"] == "bad" {
		return nil, errors.New("I do not like it")
	}
	return p.Unmarshaller.Unmarshal(values)
}

func TestAGroupThatIsGoneIsMadeAgain(t *testing.T) {
	for name, destroy := range map[string]func(ctx context.Context, rdb *redis.Client) error{
		"XGROUP DESTROY": func(ctx context.Context, rdb *redis.Client) error {
			return rdb.XGroupDestroy(ctx, stream, group).Err()
		},
		"DEL":      func(ctx context.Context, rdb *redis.Client) error { return rdb.Del(ctx, stream).Err() },
		"FLUSHALL": func(ctx context.Context, rdb *redis.Client) error { return rdb.FlushAll(ctx).Err() },
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t)
			msgs, _ := h.subscribe(bus.SubscriberConfig{})
			h.publish("before")
			h.next(msgs, "before").Ack()
			h.settled()
			if err := destroy(t.Context(), h.rdb); err != nil {
				t.Fatal(err)
			}
			h.publish("after")
			if name == "XGROUP DESTROY" { // what is still there was perhaps never handled
				h.next(msgs, "before").Ack()
			}
			h.next(msgs, "after").Ack()
			if h.count("groups_recreated_total") != 1 {
				t.Errorf("%v groups counted as made again, want 1", h.count("groups_recreated_total"))
			}
		})
	}
}

func TestARestartOfRedisStopsNobody(t *testing.T) {
	h := build(t, "--appendonly", "yes", "--appendfsync", "always")
	msgs, _ := h.subscribe(bus.SubscriberConfig{})
	h.publish("before")
	held := h.next(msgs, "before")
	h.server.Kill()
	held.Ack() // cannot reach Redis yet
	h.until("reads fail", func() bool { return h.count("read_failures_total") > 0 })
	h.server.Restart(t)
	h.publish("after")
	h.next(msgs, "after").Ack()
	h.settled()
	if h.count("redelivered_total")+h.count("claimed_total") != 0 {
		t.Error("a message was delivered twice")
	}
}

func TestWhatASilentSubscriberHeldIsClaimed(t *testing.T) {
	h := build(t)
	var payloads []string
	for i := range 150 { // more than a page of any claim
		payloads = append(payloads, fmt.Sprint(i))
	}
	h.publish(payloads...)
	// A consumer that took everything and died; and so did we, in an earlier life, by the same name.
	for _, consumer := range []string{"dead", "me"} {
		if err := h.rdb.XGroupCreateMkStream(t.Context(), stream, group, "0").Err(); err != nil && consumer == "dead" {
			t.Fatal(err)
		}
		if err := h.rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{
			Group: group, Consumer: consumer, Streams: []string{stream, ">"}, Count: 100,
		}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	msgs, _ := h.subscribe(bus.SubscriberConfig{Consumer: "me", MaxInFlight: 8, ClaimIdle: 200 * time.Millisecond})
	var got []string // in no order: which entries are idle first depends on when they were read
	for range payloads {
		msg := h.any(msgs, "an entry that was left behind")
		got = append(got, string(msg.Payload))
		msg.Ack()
	}
	slices.Sort(got)
	slices.Sort(payloads)
	if !slices.Equal(got, payloads) {
		t.Errorf("claimed %q", got)
	}
	h.settled()
	if n := h.count("claimed_total"); n != 150 {
		t.Errorf("%v entries claimed, want 150", n)
	}
}

func TestWhatAHandlerStillHoldsIsNotClaimed(t *testing.T) {
	h := build(t)
	h.publish("slow")
	const idle = 150 * time.Millisecond
	first, _ := h.subscribe(bus.SubscriberConfig{ClaimIdle: idle})
	held := h.next(first, "slow")
	second, _ := h.subscribe(bus.SubscriberConfig{ClaimIdle: idle})
	select { // many times as long as an entry may be idle
	case msg := <-second:
		t.Errorf("message %q was taken from its handler", msg.Payload)
	case msg := <-first:
		t.Errorf("message %q was delivered while its handler had it", msg.Payload)
	case <-time.After(10 * idle):
	}
	held.Ack()
	h.settled()
	if n := h.count("claimed_total"); n != 0 {
		t.Errorf("%v entries claimed, want none", n)
	}
}

func TestARefusedMessageComesAgainAfterTheDelay(t *testing.T) {
	h := build(t)
	h.publish("a", "b")
	const delay = 100 * time.Millisecond
	msgs, _ := h.subscribe(bus.SubscriberConfig{MaxInFlight: 1, NackDelay: delay})
	refused := time.Now()
	h.next(msgs, "a").Nack()
	again := h.next(msgs, "a") // and not b: one in flight keeps the order
	if d := time.Since(refused); d < delay {
		t.Errorf("it came again after %s, want %s", d, delay)
	}
	again.Ack()
	h.next(msgs, "b").Ack()
	h.settled()
}

func TestCloseWaitsForHandlersAndGivesTheRestBack(t *testing.T) {
	h := build(t)
	h.publish("done", "stuck", "unread")
	const idle = time.Hour // nothing becomes idle by itself
	msgs, sub := h.subscribe(bus.SubscriberConfig{ClaimIdle: idle, Grace: 200 * time.Millisecond})
	done, stuck := h.next(msgs, "done"), h.next(msgs, "stuck")
	closed := make(chan error)
	go func() { closed <- sub.Close() }()
	h.until("the subscription takes no more", func() bool {
		_, err := sub.Subscribe(t.Context(), stream)
		return errors.Is(err, bus.ErrClosed)
	})
	if done.Context().Err() != nil {
		t.Error("a handler's context ended before the grace")
	}
	done.Ack()
	<-stuck.Context().Done()
	if err := <-closed; err != nil {
		t.Errorf("Close = %v", err)
	}
	if _, open := <-msgs; open {
		t.Error("a message after the end")
	}
	if err := h.rdb.Ping(t.Context()).Err(); err != nil {
		t.Errorf("Close has closed the client that it was given: %v", err)
	}
	next, _ := h.subscribe(bus.SubscriberConfig{ClaimIdle: idle})
	h.next(next, "stuck").Ack()
	h.next(next, "unread").Ack()
	h.settled()
}

func TestConfigurationsThatCannotWorkAreRefused(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{MaxRetries: -1})
	defer func() { _ = rdb.Close() }()
	for want, cfg := range map[string]bus.SubscriberConfig{
		"no Redis client":                {Group: "g"},
		"the consumer group has no name": {Client: rdb},
		"-1 messages in flight":          {Client: rdb, Group: "g", MaxInFlight: -1},
		"a read that waits for 3s":       {Client: rdb, Group: "g", Block: 3 * time.Second},
		"a read that waits for 1ns":      {Client: rdb, Group: "g", Block: 1},
		"nack delay -1s":                 {Client: rdb, Group: "g", NackDelay: -time.Second},
		"count as idle after 1ms":        {Client: rdb, Group: "g", ClaimIdle: time.Millisecond},
	} {
		if _, err := bus.NewSubscriber(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewSubscriber = %v, want an error with %q", err, want)
		}
	}
}
