package eventlog_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

func TestTheNumberOfPartitionsIsFixedAtTheFirstUse(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		conn := open(t, url, 3).Conn()
		for partitions, ok := range map[int]bool{0: true, 3: true, 1: false, 4: false} {
			log, err := eventlog.Open(t.Context(), conn, eventlog.Config{Partitions: partitions})
			if ok {
				if err != nil || len(log.Partitions()) != 3 {
					t.Errorf("with %d: %v", partitions, err)
				}
				continue
			}
			mismatch, is := errors.AsType[*eventlog.ErrPartitions](err)
			if !is || mismatch.Have != "3" || !strings.Contains(err.Error(), "TASKLOG_PARTITIONS=3") {
				t.Errorf("with %d: %v", partitions, err)
			}
		}
		other := must(eventlog.Open(t.Context(), conn, eventlog.Config{Prefix: "other"}))(newHand(t, open(t, url, 0)))
		if n := len(other.Partitions()); n != 1 {
			t.Errorf("another prefix has %d partitions", n)
		}
	})
}

func TestALogThatRedisForgotIsToldOfOnceAndBeginsAgain(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 3)
		if err := log.Confirm(t.Context()); err != nil {
			t.Errorf("a log that is there: %v", err)
		}
		rdb := log.Conn().View
		must(rdb.FlushAll(t.Context()).Result())(newHand(t, log))
		if err := log.Confirm(t.Context()); !errors.Is(err, eventlog.ErrForgotten) {
			t.Errorf("after FLUSHALL: %v", err)
		}
		if err := log.Confirm(t.Context()); err != nil {
			t.Errorf("asked again: %v", err)
		}
		if n := rdb.HGet(t.Context(), "tasklog:meta", "partitions").Val(); n != "3" {
			t.Errorf("the new log has %q partitions, want 3", n)
		}
		must(rdb.HSet(t.Context(), "tasklog:meta", "partitions", 5).Result())(newHand(t, log))
		if _, ok := errors.AsType[*eventlog.ErrPartitions](log.Confirm(t.Context())); !ok {
			t.Error("it does not see that the log has other partitions now")
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	conn := open(t, testredis.Embedded(t), 0).Conn()
	for _, cfg := range []eventlog.Config{{Partitions: -1}, {Partitions: 1025}, {Prefix: "a{b}"}, {Prefix: "a\nb"}} {
		_, err := eventlog.Open(t.Context(), conn, cfg)
		if _, ok := errors.AsType[*events.FieldError](err); !ok {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if err := conn.View.HSet(t.Context(), "tasklog:meta", "partitions", "many").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := eventlog.Open(t.Context(), conn, eventlog.Config{})
	if _, ok := errors.AsType[*eventlog.ErrPartitions](err); !ok {
		t.Errorf("a number that is none: %v", err)
	}
}

func TestPartitionsAndPrefixesDoNotMix(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := open(t, url, 4)
		h := newHand(t, log)
		other := newHand(t, must(eventlog.Open(t.Context(), log.Conn(), eventlog.Config{Prefix: "other", Partitions: 4}))(h))
		used := map[int]bool{}
		for _, task := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			h.requested(task)
			p := log.Of(task)
			used[p.N] = true
			entries := must(log.Range(t.Context(), p, events.ID{}, events.MaxID, 100))(h)
			if entries[len(entries)-1].Task != task {
				t.Errorf("task %s is not the newest of partition %d", task, p.N)
			}
			if _, err := other.log.Task(t.Context(), task); !errors.Is(err, eventlog.ErrNotFound) {
				t.Errorf("task %s under the other prefix: %v", task, err)
			}
		}
		if len(used) < 3 {
			t.Errorf("eight tasks use the partitions %v", used)
		}
	})
}

func TestConnectRefusesWhatIsNoRedisURL(t *testing.T) {
	for _, url := range []string{"", "localhost:6379", "http://localhost", "redis://localhost/x"} {
		if conn, err := eventlog.Connect(url); err == nil {
			t.Errorf("%q was accepted", url)
			_ = conn.Close()
		}
	}
}

func TestADecisionDuringARestartOfRedisIsTakenAfterwards(t *testing.T) {
	server := testredis.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	h := newHand(t, open(t, server.URL(), 1))
	h.requested("a")
	server.Restart(t) // every connection is gone, and every script
	h.requested("b")
	h.due("q")
	h.expect("a", "Requested Due")
	h.expect("b", "Requested Due")
}

func TestUnavailableTellsWhatMayBeAskedForAgain(t *testing.T) {
	server := testredis.Start(t)
	log := open(t, server.URL(), 1)
	h := newHand(t, log)
	h.requested("a")
	server.Set(t, "maxmemory", "1")
	if _, err := log.Request(t.Context(), want("b")); !eventlog.Unavailable(err) {
		t.Errorf("out of memory: %v", err)
	}
	server.Set(t, "maxmemory", "0")
	server.Kill()
	_, err := log.Request(t.Context(), want("b"))
	if !eventlog.Unavailable(err) || errors.Is(err, eventlog.ErrFenced) {
		t.Errorf("without a Redis: %v", err)
	}
	for _, err := range []error{nil, eventlog.ErrFenced, eventlog.ErrNotFound, errors.New("ERR no")} {
		if eventlog.Unavailable(err) {
			t.Errorf("%v counts as unavailable", err)
		}
	}
}

func TestWhatRunsCanEndWhenRedisIsOutOfMemory(t *testing.T) {
	server := testredis.Start(t)
	h := newHand(t, open(t, server.URL(), 1))
	done, failed, abandoned, released := h.running("done"), h.running("failed"), h.running("abandoned"), h.running("released")
	longer := h.running("longer")
	h.expireLease("abandoned")
	h.requested("unstarted")
	h.due("q")
	unstarted := h.take("unstarted", "w1")
	h.requested("unwanted")
	server.Set(t, "maxmemory", "1")
	if held := must(h.log.Extend(t.Context(), h.log.Of("longer"), hour, []eventlog.Attempt{longer}))(h); held[0] != nil {
		t.Errorf("a lease is not extended: %v", held[0])
	}
	if swept := must(h.log.Sweep(t.Context(), h.p, hour, hour))(h); !slices.Equal(swept.Overdue, []string{"abandoned"}) {
		t.Errorf("a sweep found %+v", swept)
	}
	must(h.log.Complete(t.Context(), done, 0, nil))(h)
	must(h.log.Fail(t.Context(), failed, 0, events.ReasonError, "", new(hour)))(h)
	must(h.log.Abandon(t.Context(), "abandoned", abandoned.Number, "w1", 0, new(hour)))(h)
	must(h.log.Release(t.Context(), released, events.ReasonShutdown, nil))(h)
	must(h.log.Release(t.Context(), unstarted, events.ReasonShutdown, nil))(h)
	must(h.log.Cancel(t.Context(), "unwanted", "ops", ""))(h)
	for _, turn := range []func(ctx context.Context, queue, by string) (bool, error){h.log.Pause, h.log.Resume} {
		if changed := must(turn(t.Context(), "q", "ops"))(h); !changed {
			t.Error("a queue was not paused or resumed")
		}
	}
	if _, err := h.log.Request(t.Context(), want("another")); !eventlog.Unavailable(err) {
		t.Errorf("a request: %v", err)
	}
	h.agree(h.all(), "done", "failed", "abandoned", "released", "unstarted", "unwanted")
}

func TestRowsOfAnotherVersionAreNotDecidedBy(t *testing.T) {
	conn, err := eventlog.Connect(testredis.Start(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	log, err := eventlog.Open(t.Context(), conn, eventlog.Config{Partitions: 2})
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error { return conn.View.HDel(t.Context(), "tasklog:meta", "rows").Err() }, // as the first version left it
		func() error { return conn.View.HSet(t.Context(), "tasklog:meta", "rows", "99").Err() },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		_, err = eventlog.Open(t.Context(), conn, eventlog.Config{})
		if _, ok := errors.AsType[*eventlog.LayoutError](err); !ok || !strings.Contains(err.Error(), "tasklog replay --state") {
			t.Errorf("Open = %v, want a LayoutError that says what to do", err)
		}
		if _, err := eventlog.Open(t.Context(), conn, eventlog.Config{AnyRows: true}); err != nil {
			t.Error(err)
		}
		if err := log.Rewritten(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := eventlog.Open(t.Context(), conn, eventlog.Config{}); err != nil {
			t.Error(err)
		}
	}
}
