package relay_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/bus"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/relay"
)

func TestARefusedEventIsTriedAgainBeforeTheNextOne(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 0)
	h.answer = func(n int, _ *http.Request) int {
		return []int{500, 302, 404, 200}[min(n-1, 3)]
	}
	h.cancel("a")
	h.cancel("b")
	h.start(relay.Config{Retries: 3})
	got := h.await("two events", func(g []request) bool { return acked(g) >= 2 })
	if len(got) != 5 {
		t.Fatalf("%d requests, want 4 for a and 1 for b", len(got))
	}
	for i, r := range got {
		want := "a"
		if i == 4 {
			want = "b"
		}
		if r.Task != want || want == "a" && r.header.Get(relay.HeaderKey) != got[0].header.Get(relay.HeaderKey) {
			t.Errorf("request %d is for %s with key %s", i, r.Task, r.header.Get(relay.HeaderKey))
		}
	}
	if n := h.count("failures_total"); n != 3 {
		t.Errorf("%v failures counted, want 3", n)
	}
}

func TestAnEventThatCannotBeDeliveredGoesToThePoisonStream(t *testing.T) {
	server := testredis.Start(t)
	h := build(t, server.URL(), 0)
	h.answer = func(_ int, r *http.Request) int {
		if r.Header.Get(relay.HeaderTaskID) == "bad" {
			return http.StatusTeapot
		}
		return http.StatusOK
	}
	h.cancel("bad")
	h.cancel("good")
	h.start(relay.Config{Retries: 2})
	got := h.await("the good event", func(g []request) bool { return acked(g) >= 1 })
	if len(got) != 4 || got[3].Task != "good" {
		t.Fatalf("%d requests, want 3 for the bad event and 1 for the good one", len(got))
	}
	entries, err := server.Client().XRange(t.Context(), "tasklog:{0}:relay:poison", "-", "+").Result()
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d poison entries, %v; want 1", len(entries), err)
	}
	id := got[0].EventID.String()
	v := entries[0].Values
	if v["type"] != "TaskCancelled" || v["task"] != "bad" || v["data"] != string(got[0].Data) {
		t.Errorf("poison entry %v, want the event's own fields", v)
	}
	if meta, _ := v["meta"].(string); !strings.Contains(meta, id) || !strings.Contains(meta, "the webhook answered 418") {
		t.Errorf("poison entry says %s, want the reason and the entry id %s", meta, id)
	}
	msg, err := bus.Unmarshaller{}.Unmarshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := bus.Decode(msg); err != nil || e.ID != got[0].EventID {
		t.Errorf("the poison entry decodes to %+v, %v", e, err)
	}
	if n := h.count("poisoned_total"); n != 1 {
		t.Errorf("%v poisoned events counted, want 1", n)
	}
	if said := h.said.String(); !strings.Contains(said, "put aside") || !strings.Contains(said, id) || strings.Contains(said, "because") {
		t.Errorf("the log does not say which event, or says too much:\n%s", said)
	}
	h.untouched(server)
}

func TestLessThanNoRetriesMeansThatNothingIsTriedAgain(t *testing.T) {
	h := build(t, testredis.Start(t).URL(), 0)
	h.answer = func(n int, _ *http.Request) int { return []int{500, 200}[min(n-1, 1)] }
	h.cancel("bad")
	h.cancel("good")
	h.start(relay.Config{Retries: -1})
	got := h.await("the good event", func(g []request) bool { return acked(g) >= 1 })
	if len(got) != 2 || got[0].Task != "bad" || got[1].Task != "good" {
		t.Fatalf("%d requests, the last for %s; want one for the bad event and one for the good one", len(got), got[len(got)-1].Task)
	}
}

// untouched checks that the relay has acknowledged everything and taken nothing from the log.
func (h *house) untouched(server *testredis.Server) {
	h.Helper()
	key := h.log.Partitions()[0].Events
	h.until("nothing is pending", func() bool {
		p, err := server.Client().XPending(h.Context(), key, "relay").Result()
		return err == nil && p.Count == 0
	})
	info, err := server.Client().XInfoStream(h.Context(), key).Result()
	if err != nil || info.EntriesAdded != info.Length {
		h.Errorf("the log has %d of %d entries, %v", info.Length, info.EntriesAdded, err)
	}
}

func (h *house) until(what string, ok func() bool) {
	h.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-late:
			h.Fatalf("never: %s\n%s", what, h.said)
		}
	}
}

// count returns a counter of the relay.
func (h *house) count(name string) float64 {
	h.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		h.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "tasklog_relay_"+name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	h.Fatalf("there is no counter %s", name)
	return 0
}

func TestAnUndecodableEntryIsSkippedCountedAndLogged(t *testing.T) {
	server := testredis.Start(t)
	h := build(t, server.URL(), 0)
	id, err := server.Client().XAdd(t.Context(), &redis.XAddArgs{Stream: h.log.Partitions()[0].Events, Values: []any{"x", "y"}}).Result()
	if err != nil {
		t.Fatal(err)
	}
	h.cancel("a")
	h.start(relay.Config{})
	got := h.await("an event", func(g []request) bool { return len(g) > 0 })
	if got[0].Task != "a" || h.count("undecodable_total") != 1 || !strings.Contains(h.said.String(), id) {
		t.Errorf("posted %+v, counted %v, said\n%s", got[0].Notice, h.count("undecodable_total"), h.said)
	}
	h.untouched(server)
}

func TestAfterARestartTheRelayGoesOnAtOnceAndInOrder(t *testing.T) {
	server := testredis.Start(t)
	h := build(t, server.URL(), 0)
	h.answer = func(int, *http.Request) int { return http.StatusServiceUnavailable }
	for i := range 10 {
		h.cancel(fmt.Sprint("t", i))
	}
	stop := h.start(relay.Config{Retries: 100, MaxRetryDelay: 10 * time.Millisecond})
	h.await("some tries", func(g []request) bool { return len(g) >= 3 })
	stop()
	if n := server.Client().Exists(t.Context(), "tasklog:{0}:relay:poison").Val(); n != 0 {
		t.Error("the end of the relay put an event aside")
	}
	h.mu.Lock()
	h.answer = func(int, *http.Request) int { return http.StatusOK }
	h.mu.Unlock()
	h.start(relay.Config{})
	got := h.await("ten events", func(g []request) bool { return acked(g) >= 10 })
	got = slices.DeleteFunc(got, func(r request) bool { return r.status != http.StatusOK })
	if len(got) != 10 {
		t.Fatalf("%d requests after the restart, want 10", len(got))
	}
	for i, r := range got {
		if want := fmt.Sprint("t", i); r.Task != want {
			t.Errorf("event %d is of %s, want %s", i, r.Task, want)
		}
	}
	h.untouched(server)
}

func TestRedisAwayIsWaitedFor(t *testing.T) {
	server := testredis.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	h := build(t, server.URL(), 0)
	h.cancel("before")
	h.start(relay.Config{})
	h.await("an event", func(g []request) bool { return acked(g) >= 1 })
	h.untouched(server)
	server.Kill()
	h.until("the relay has seen it", func() bool { return strings.Contains(h.said.String(), "read fail") })
	server.Restart(t)
	h.cancel("after")
	got := h.await("another event", func(g []request) bool { return acked(g) >= 2 })
	if got[len(got)-1].Task != "after" {
		t.Errorf("the last event is of %s", got[len(got)-1].Task)
	}
}

func TestARelayThatStartsWithoutRedisBeginsWhenItIsThere(t *testing.T) {
	server := testredis.Start(t)
	h := build(t, server.URL(), 0)
	server.Kill()
	h.start(relay.Config{})
	h.until("the relay has seen it", func() bool { return strings.Contains(h.said.String(), "is started again") })
	server.Restart(t)
	h.cancel("a")
	h.await("an event", func(g []request) bool { return acked(g) >= 1 })
}

func TestAGroupThatIsGoneIsMadeAgainFromTheStart(t *testing.T) {
	server := testredis.Start(t)
	h := build(t, server.URL(), 0)
	h.cancel("a")
	h.start(relay.Config{})
	h.await("an event", func(g []request) bool { return acked(g) >= 1 })
	h.untouched(server)
	if err := server.Client().XGroupDestroy(t.Context(), h.log.Partitions()[0].Events, "relay").Err(); err != nil {
		t.Fatal(err)
	}
	h.cancel("b")
	got := h.await("another event", func(g []request) bool { return acked(g) >= 2 })
	if len(got) != 3 || got[1].Task != "a" || got[2].Task != "b" {
		t.Errorf("%d requests, want a, a again, b", len(got))
	}
}

func TestTwoRelaysOfAGroupShareTheLog(t *testing.T) {
	server := testredis.Start(t)
	h := build(t, server.URL(), 0)
	h.start(relay.Config{Consumer: "one"})
	h.start(relay.Config{Consumer: "two"})
	for i := range 50 {
		h.cancel(fmt.Sprint("t", i))
	}
	got := h.await("50 events", func(g []request) bool { return acked(g) >= 50 })
	h.untouched(server)
	if len(got) != 50 {
		t.Errorf("%d requests for 50 events", len(got))
	}
	consumers, err := server.Client().XInfoConsumers(t.Context(), h.log.Partitions()[0].Events, "relay").Result()
	if err != nil || len(consumers) != 2 {
		t.Errorf("%d consumers, %v; want both relays", len(consumers), err)
	}
}
