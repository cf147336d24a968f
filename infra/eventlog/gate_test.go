package eventlog_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
)

// shut shuts the gate of the hand's partition, open opens it again.
func (h *hand) shut() {
	h.Helper()
	must(h.rdb.Set(h.Context(), h.p.Rebuild, "somebody", 0).Result())(h)
}

func (h *hand) open() {
	h.Helper()
	must(h.rdb.Del(h.Context(), h.p.Rebuild).Result())(h)
}

// dump returns every key with what it holds.
func (h *hand) dump() map[string]string {
	h.Helper()
	all := map[string]string{}
	for _, key := range must(h.rdb.Keys(h.Context(), "*").Result())(h) {
		all[key] = must(h.rdb.Dump(h.Context(), key).Result())(h)
	}
	return all
}

func TestNoDecisionIsTakenWhileTheGateIsShut(t *testing.T) {
	t.Cleanup(eventlog.SetRepeats(time.Millisecond))
	h := newHand(t, open(t, testredis.Start(t).URL(), 1))
	for _, d := range deeds {
		must(h.rdb.FlushAll(t.Context()).Result())(h)
		act := d.prepare(h)
		h.shut()
		before := h.dump()
		_, err := act(h)
		if d.name == "swap" || d.name == "adopt" { // they are for whoever has the gate
			if after := h.dump(); !errors.Is(err, eventlog.ErrMoved) || !maps.Equal(before, after) {
				t.Errorf("%s: got %v, or it wrote although somebody else has the gate", d.name, err)
			}
			h.open()
			continue
		}
		if d.name == "announce" || d.name == "forget" || d.name == "grab" { // they ask nothing of the state of tasks
			if err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
			continue
		}
		if !errors.Is(err, eventlog.ErrRebuilding) || !eventlog.Unavailable(err) {
			t.Errorf("%s: got %v", d.name, err)
		}
		if after := h.dump(); !maps.Equal(before, after) {
			t.Errorf("%s: wrote although the gate was shut", d.name)
		}
		h.open()
		if _, err := act(h); err != nil {
			t.Errorf("%s, and the gate is open: %v", d.name, err)
		}
	}
}

func TestAGateIsShutOnTheEmbeddedRedisToo(t *testing.T) {
	t.Cleanup(eventlog.SetRepeats(time.Millisecond))
	each(t, func(t *testing.T, h *hand) {
		a := h.running("a")
		h.shut()
		errs := make([]error, 3)
		_, errs[0] = h.log.Request(t.Context(), want("b"))
		_, errs[1] = h.log.Extend(t.Context(), h.p, hour, []eventlog.Attempt{a})
		_, errs[2] = h.log.Complete(t.Context(), a, 0, nil)
		for i, err := range errs {
			if !errors.Is(err, eventlog.ErrRebuilding) {
				t.Errorf("%d: %v", i, err)
			}
		}
		h.open()
		must(h.log.Complete(t.Context(), a, 0, nil))(h)
		h.expect("a", "Requested Due Started(1,w1) Completed(1,w1)")
	})
}

func TestAGateThatACopyShutSaysWhy(t *testing.T) {
	t.Cleanup(eventlog.SetRepeats(time.Millisecond))
	each(t, func(t *testing.T, h *hand) {
		for kind, words := range map[eventlog.GateKind]string{
			eventlog.GateCopying: "a copy that is not finished: run `tasklog copy` again",
			eventlog.GateMoving:  "being moved to there; where nobody does that any more",
			eventlog.GateMoved:   "moved to there: let clients and services go there",
		} {
			gate := eventlog.CopyGate(kind, "me", "there")
			h.succeed(h.log.Swap(t.Context(), h.p, "", gate))
			why := eventlog.Why(must(h.log.Gate(t.Context(), h.p))(h))
			if !strings.Contains(why, words) {
				t.Errorf("%s: the gate says %q", kind, why)
			}
			_, asked := h.log.Request(t.Context(), want("a"))
			_, missed := h.log.Task(t.Context(), "a")
			for _, err := range []error{asked, missed} {
				shut, ok := errors.AsType[*eventlog.ShutError](err)
				if !ok || shut.Why != why || shut.Kind() != kind || !errors.Is(err, eventlog.ErrRebuilding) || !eventlog.Unavailable(err) {
					t.Errorf("%s: got %v", kind, err)
				}
			}
			if ends := kind == eventlog.GateMoving; eventlog.Closed(asked) == ends || (h.log.Ready(t.Context()) == nil) != ends {
				t.Errorf("%s: closed: %v; ready: %v", kind, eventlog.Closed(asked), h.log.Ready(t.Context()))
			}
			h.succeed(h.log.Swap(t.Context(), h.p, gate, ""))
			h.succeed(h.log.Ready(t.Context()))
		}
		gate := eventlog.CopyGate(eventlog.GateMoved, "me", "there")
		h.succeed(h.log.Swap(t.Context(), h.p, "", gate))
		if err := h.log.Swap(t.Context(), h.p, "other", ""); !errors.Is(err, eventlog.ErrMoved) {
			t.Errorf("somebody else opened it: %v", err)
		}
		h.succeed(h.log.Swap(t.Context(), h.p, gate, "somebody"))
		if _, err := h.log.Request(t.Context(), want("a")); !errors.Is(err, eventlog.ErrRebuilding) || errors.As(err, new(*eventlog.ShutError)) {
			t.Errorf("a gate that a rebuild shut: %v", err)
		}
		h.succeed(h.log.Swap(t.Context(), h.p, "somebody", ""))
		h.requested("a")
	})
}

func TestNobodyAsksAgainAtAClosedGate(t *testing.T) {
	t.Cleanup(eventlog.SetRepeats(time.Hour)) // whoever did would not be back in time
	h := newHand(t, open(t, testredis.Start(t).URL(), 1))
	h.succeed(h.log.Swap(t.Context(), h.p, "", eventlog.CopyGate(eventlog.GateMoved, "me", "there")))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, one := h.log.Pause(ctx, "q", "test")
	many := h.log.RequestMany(ctx, []eventlog.Request{want("a")})
	for _, err := range []error{one, many[0].Err} {
		if !eventlog.Closed(err) || ctx.Err() != nil {
			t.Errorf("got %v, %v", err, ctx.Err())
		}
	}
}

func TestATaskWithoutARowIsNotMissedWhileRowsAreMadeAgain(t *testing.T) {
	t.Cleanup(eventlog.SetRepeats(time.Millisecond))
	each(t, func(t *testing.T, h *hand) {
		asks := map[string]func() error{
			"task":   func() error { _, err := h.log.Task(t.Context(), "a"); return err },
			"cancel": func() error { _, err := h.log.Cancel(t.Context(), "a", "test", ""); return err },
			"retry":  func() error { _, err := h.log.Retry(t.Context(), "a", "test", "r"); return err },
		}
		for _, name := range slices.Sorted(maps.Keys(asks)) {
			h.shut()
			if err := asks[name](); !errors.Is(err, eventlog.ErrRebuilding) {
				t.Errorf("%s: %v", name, err)
			}
			h.open()
			if err := asks[name](); !errors.Is(err, eventlog.ErrNotFound) {
				t.Errorf("%s, and the gate is open: %v", name, err)
			}
		}
	})
}

func TestAGateShutsItsOwnPartitionOnly(t *testing.T) {
	t.Cleanup(eventlog.SetRepeats(time.Millisecond))
	h := newHand(t, open(t, testredis.Start(t).URL(), 2))
	h.p = h.log.Of("a")
	h.shut()
	other := "b"
	for h.log.Of(other).N == h.p.N {
		other += "b"
	}
	must(h.log.Request(t.Context(), want(other)))(h)
	if _, err := h.log.Request(t.Context(), want("a")); !errors.Is(err, eventlog.ErrRebuilding) {
		t.Errorf("got %v", err)
	}
}
