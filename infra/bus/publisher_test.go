package bus_test

import (
	"errors"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/bus"
)

func TestAClientThatRepeatsCommandsIsRefused(t *testing.T) {
	rdb := redis.NewClient(&redis.Options{})
	defer func() { _ = rdb.Close() }()
	if _, err := bus.NewPublisher(bus.PublisherConfig{Client: rdb}); !errors.Is(err, bus.ErrRepeats) {
		t.Errorf("NewPublisher = %v, want ErrRepeats", err)
	}
	if _, err := bus.NewPublisher(bus.PublisherConfig{}); err == nil {
		t.Error("NewPublisher takes no client at all")
	}
}

func TestNobodyPublishesToTheLog(t *testing.T) {
	h := build(t)
	pub, err := bus.NewPublisher(bus.PublisherConfig{Client: h.rdb})
	if err != nil {
		t.Fatal(err)
	}
	const log = "tasklog:{0}:events"
	if err := pub.Publish(log, message.NewMessage("u", nil)); !errors.Is(err, bus.ErrLog) {
		t.Errorf("Publish = %v, want ErrLog", err)
	}
	if n := h.rdb.Exists(t.Context(), log).Val(); n != 0 {
		t.Error("the log has an entry")
	}
}

func TestPublishAppendsInOrderAndLeavesItsClientOpen(t *testing.T) {
	h := build(t)
	pub, err := bus.NewPublisher(bus.PublisherConfig{Client: h.rdb})
	if err != nil {
		t.Fatal(err)
	}
	event := message.NewMessage("u1", []byte(`{"queue":"q"}`))
	event.Metadata = message.Metadata{bus.MetaType: "TaskDue", bus.MetaTask: "t", bus.MetaVersion: "1", "why": "<&>"}
	if err := pub.Publish(stream, event, message.NewMessage("u2", []byte("two"))); err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish(stream); err != nil {
		t.Errorf("Publish of nothing = %v", err)
	}
	entries, err := h.rdb.Do(t.Context(), "XRANGE", stream, "-", "+").Slice()
	if err != nil || len(entries) != 2 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	fields := entries[0].([]any)[1].([]any)
	want := []string{"type", "TaskDue", "task", "t", "v", "1", "data", `{"queue":"q"}`, "uuid", "u1", "meta"}
	for i, w := range want {
		if fields[i] != w {
			t.Errorf("field %d is %v, want %s", i, fields[i], w)
		}
	}
	if err := pub.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pub.Publish(stream, event); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("Publish = %v, want ErrClosed", err)
	}
	if err := h.rdb.Ping(t.Context()).Err(); err != nil {
		t.Errorf("Close has closed the client that it was given: %v", err)
	}
}

func TestAStreamKeepsAboutMaxLenEntries(t *testing.T) {
	h := build(t)
	pub, err := bus.NewPublisher(bus.PublisherConfig{Client: h.rdb, MaxLen: 100})
	if err != nil {
		t.Fatal(err)
	}
	msgs := make([]*message.Message, 1000)
	for i := range msgs {
		msgs[i] = message.NewMessage("u", nil)
	}
	if err := pub.Publish(stream, msgs...); err != nil {
		t.Fatal(err)
	}
	if n := h.rdb.XLen(t.Context(), stream).Val(); n < 100 || n > 300 {
		t.Errorf("%d entries, want about 100", n)
	}
}
