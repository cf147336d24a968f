package eventlog_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// long appends entries i-1 … of one ms each, and lets the views have read them all.
func (h *hand) long(n int) {
	h.Helper()
	for i := range n {
		err := h.rdb.XAdd(h.Context(), &redis.XAddArgs{Stream: h.p.Events, ID: fmt.Sprint(i+1, "-18446744073709551615"), Values: []string{"a", "b"}}).Err()
		if err != nil {
			h.Fatal(err)
		}
	}
	h.read("head", n)
}

// id is that of entry n, counted from 1.
func id(n int) events.ID { return events.ID{Ms: int64(n), Seq: events.MaxID.Seq} }

// read says up to which entry a reader, or for "head" the views, have read.
func (h *hand) read(who string, n int) {
	h.Helper()
	key, field := h.p.Readers, who
	if who == "head" {
		key, field = h.p.View("head"), "checkpoint"
	}
	if err := h.rdb.HSet(h.Context(), key, field, id(n).String()).Err(); err != nil {
		h.Fatal(err)
	}
}

// span returns which entries the stream has, first and last.
func (h *hand) span() (first, last int64) {
	h.Helper()
	msgs := must(h.rdb.XRange(h.Context(), h.p.Events, "-", "+").Result())(h)
	a, _ := events.ParseID(msgs[0].ID)
	b, _ := events.ParseID(msgs[len(msgs)-1].ID)
	if int64(len(msgs)) != b.Ms-a.Ms+1 {
		h.Errorf("%d entries are left from %s to %s", len(msgs), a, b)
	}
	return a.Ms, b.Ms
}

func TestTrimRemovesUpToAnEntryAndSaysWhoNeedsAnEarlierOne(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		h := newHand(t, open(t, url, 1))
		h.long(20)
		trim := func(n int, by string, at events.ID) {
			t.Helper()
			held, err := h.log.Trim(t.Context(), h.p, id(n))
			if err != nil || (held == nil) != (by == "") || held != nil && (held.By != by || held.At != at) {
				t.Errorf("up to %d: %+v, %v, want %q", n, held, err, by)
			}
		}
		trimmed := func(n int) {
			t.Helper()
			got, entries, err := h.log.Trimmed(t.Context(), h.p)
			if want := (events.ID{Ms: int64(n), Seq: events.MaxID.Seq}); err != nil || entries != int64(n) || n > 0 && got != want {
				t.Errorf("trimmed is %s, %d, %v, want %d", got, entries, err, n)
			}
			if first, last := h.span(); first != int64(n+1) || last != 20 {
				t.Errorf("left are %d to %d, want from %d on", first, last, n+1)
			}
		}
		trimmed(0)
		trim(20, "the newest entry", id(20).Prev())
		trimmed(0)
		trim(2, "", events.ID{})
		trim(2, "", events.ID{})
		trim(1, "", events.ID{})
		trimmed(2)
		h.read("snapshots", 9)
		h.read("copy", 5)
		trim(10, "reader copy", id(5))
		trim(5, "", events.ID{})
		trimmed(5)
		h.read("head", 7)
		trim(8, "reader copy", id(5))
		h.read("copy", 19)
		trim(8, "the views", id(7))
		h.read("head", 20)
		if err := h.rdb.XGroupCreate(t.Context(), h.p.Events, "relay", id(6).String()).Err(); err != nil {
			t.Fatal(err)
		}
		trim(8, "consumer group relay", id(6))
		if err := h.rdb.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: "relay", Consumer: "c", Streams: []string{h.p.Events, ">"}, Count: 10}).Err(); err != nil {
			t.Fatal(err)
		}
		trim(7, "consumer group relay", id(7).Prev())
		if err := h.rdb.XAck(t.Context(), h.p.Events, "relay", id(7).String()).Err(); err != nil {
			t.Fatal(err)
		}
		trim(7, "", events.ID{})
		trimmed(7)
		if err := h.rdb.Del(t.Context(), h.p.View("head")).Err(); err != nil {
			t.Fatal(err)
		}
		trim(8, "the views", events.ID{})
		trimmed(7)
	})
}

func TestTrimNeverPassesWhoNeedsTheLog(t *testing.T) {
	h := newHand(t, open(t, testredis.Start(t).URL(), 1))
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		if err := h.rdb.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		n := 2 + dice.IntN(30)
		h.long(n)
		bounds := []int{n - 1}
		for _, who := range []string{"head", "one", "two"} {
			if at := 1 + dice.IntN(n); dice.IntN(3) > 0 {
				h.read(who, at)
				bounds = append(bounds, at)
			}
		}
		if dice.IntN(2) == 0 {
			at := 1 + dice.IntN(n)
			bounds = append(bounds, at)
			if err := h.rdb.XGroupCreate(t.Context(), h.p.Events, "g", id(at).String()).Err(); err != nil {
				t.Fatal(err)
			}
		}
		want := int64(0)
		for range 5 {
			to := 1 + dice.IntN(n+3)
			held, err := h.log.Trim(t.Context(), h.p, id(to))
			if err != nil {
				t.Fatal(err)
			}
			if lowest := slices.Min(bounds); held == nil {
				if int64(to) > want {
					want = int64(to)
				}
				if to > lowest && int64(to) > want {
					t.Errorf("of %d, with bounds %v, it went up to %d", n, bounds, to)
				}
			} else if held.At.Compare(id(lowest)) > 0 && held.By != "the newest entry" || to <= lowest && to < n {
				t.Errorf("of %d, with bounds %v, %d was held: %+v", n, bounds, to, held)
			}
			if first, _ := h.span(); first != want+1 || want > int64(slices.Min(bounds)) {
				t.Errorf("of %d, with bounds %v: %d is the first, want %d", n, bounds, first, want+1)
			}
		}
	}
}

func TestTrimOfManyEntriesIsAPauseOfMilliseconds(t *testing.T) {
	h := newHand(t, open(t, testredis.Start(t).URL(), 1))
	_, err := h.rdb.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
		for i := range 2 * eventlog.MaxTrim {
			pipe.XAdd(t.Context(), &redis.XAddArgs{Stream: h.p.Events, ID: id(i + 1).String(), Values: []string{"a", "b"}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.read("head", 2*eventlog.MaxTrim)
	if err := h.rdb.ConfigSet(t.Context(), "slowlog-log-slower-than", "20000").Err(); err != nil {
		t.Fatal(err)
	}
	if held, err := h.log.Trim(t.Context(), h.p, id(eventlog.MaxTrim)); held != nil || err != nil {
		t.Fatal(held, err)
	}
	if slow := h.rdb.SlowLogGet(t.Context(), 10).Val(); len(slow) > 0 {
		t.Errorf("%v", slow)
	}
	if _, n, err := h.log.Trimmed(t.Context(), h.p); n != eventlog.MaxTrim || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
