package rebuilder_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/crashpoint/crashtest"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/rebuilder"
)

// A program that makes the state of a log again.
const program = `package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/rebuilder"
)

func main() {
	conn, err := eventlog.Connect(os.Args[1])
	if err == nil {
		var log *eventlog.Log
		if log, err = eventlog.Open(context.Background(), conn, eventlog.Config{}); err == nil {
			_, err = rebuilder.Run(context.Background(), log, rebuilder.Config{LeaseTTL: time.Minute, Memory: 2000})
		}
	}
	fmt.Println(err)
}
`

// busy returns a log in which tasks stand in every state.
func busy(t *testing.T) (*house, string) {
	t.Helper()
	server := testredis.Start(t)
	log := testredis.Open(t, server.URL(), 2)
	h := &house{log: log, rdb: log.Conn().View, fail: t.Fatal, held: map[string]eventlog.Attempt{}}
	ctx := t.Context()
	for i := range 40 {
		r := eventlog.Request{Task: fmt.Sprint("t", i), Label: events.Label{Queue: "q", Name: "n"}, Definition: events.Definition{MaxAttempts: 2, Priority: i % 10}}
		if i%5 == 0 {
			r.Delay = hour
		}
		_, err := log.Request(ctx, r)
		h.must(err)
	}
	for _, p := range log.Partitions() {
		_, err := log.Due(ctx, p, "q", 100, h.rdb.ZRange(ctx, p.Waiting("q"), 0, 11).Val())
		h.must(err)
	}
	for i, row := range h.rowsOf(ctx, events.StateDue) {
		a := eventlog.Attempt{Task: row.ID, Queue: "q", Number: 1, Token: "token", Worker: "w1", Entry: row.Events[1]}
		if i%4 == 0 {
			continue // it stays due
		}
		_, err := log.Start(ctx, a, time.Minute)
		h.must(err)
		switch i % 4 {
		case 1:
			_, err = log.Complete(ctx, a, time.Second, nil)
		case 2:
			_, err = log.Fail(ctx, a, time.Second, events.ReasonError, "no", new(hour))
		}
		h.must(err)
	}
	_, err := log.Pause(ctx, "q", "test")
	h.must(err)
	return h, server.URL()
}

func TestARebuildThatIsKilledLeavesNothingDecidedAndTheNextOneMakesTheSame(t *testing.T) {
	binary := crashtest.Build(t, "chaos", program)
	for _, point := range crashpoint.RebuildPoints {
		t.Run(string(point), func(t *testing.T) {
			h, url := busy(t)
			before, ends := h.state(t.Context())
			h.lose(t.Context())
			out, err := crashtest.Run(t, binary, string(point), url)
			if !crashtest.Killed(err) {
				t.Fatalf("it ended with %v: %s", err, out)
			}
			shut := 0
			for _, p := range h.log.Partitions() {
				shut += int(h.rdb.Exists(t.Context(), p.Rebuild).Val())
			}
			if shut == 0 {
				t.Error("no gate is shut")
			}
			if _, err := rebuilder.Run(t.Context(), h.log, rebuilder.Config{LeaseTTL: time.Minute}); err != nil {
				t.Fatal(err)
			}
			h.same(t.Context(), before, ends)
		})
	}
}

func TestARebuildWhoseGateWasTakenOverStops(t *testing.T) {
	h, _ := busy(t)
	p := h.log.Partitions()[0]
	first, err := rebuilder.Shut(t.Context(), h.log, p)
	h.must(err)
	before, ends := h.state(t.Context())
	second, err := rebuilder.Shut(t.Context(), h.log, p)
	h.must(err)
	cfg := rebuilder.Config{LeaseTTL: time.Minute}
	if _, err := rebuilder.Partition(t.Context(), h.log, p, first, cfg); !errors.Is(err, rebuilder.ErrMoved) {
		t.Errorf("got %v", err)
	}
	h.same(t.Context(), before, ends) // the first one removed nothing
	if _, err := rebuilder.Partition(t.Context(), h.log, p, second, cfg); err != nil {
		t.Error(err)
	}
	h.same(t.Context(), before, ends)
}

func TestALaterEndOfALeaseStaysAndALeaseOfNobodyGoes(t *testing.T) {
	h, _ := busy(t)
	row := h.rowsOf(t.Context(), events.StateActive)[0]
	p := h.log.Of(row.ID)
	h.must(h.rdb.Do(t.Context(), "ZADD", p.Leases, "9999999999999", row.ID, "9999999999999", "nobody").Err())
	if _, err := rebuilder.Run(t.Context(), h.log, rebuilder.Config{LeaseTTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if end := h.rdb.ZScore(t.Context(), p.Leases, row.ID).Val(); end != 9999999999999 {
		t.Errorf("it ends at %f", end)
	}
	if err := h.rdb.ZScore(t.Context(), p.Leases, "nobody").Err(); err == nil {
		t.Error("nobody has a lease")
	}
}

func TestALogWithoutItsBeginningIsRefusedUnlessLossIsAllowed(t *testing.T) {
	h, _ := busy(t)
	t.Cleanup(rebuilder.SetReadPage(4))
	p := h.log.Partitions()[0]
	before, ends := h.state(t.Context())
	h.must(h.rdb.XTrimMaxLen(t.Context(), p.Events, 15).Err())
	_, err := rebuilder.Run(t.Context(), h.log, rebuilder.Config{LeaseTTL: time.Minute})
	if trimmed, ok := errors.AsType[*rebuilder.ErrTrimmed](err); !ok || trimmed.Partition != p.N || trimmed.Entries == 0 {
		t.Fatalf("got %v", err)
	}
	h.same(t.Context(), before, ends)
	sum, err := rebuilder.Run(t.Context(), h.log, rebuilder.Config{LeaseTTL: time.Minute, Lossy: true})
	if err != nil || sum.Older == 0 || sum.Illegal > 0 {
		t.Fatal(sum, err)
	}
	h.same(t.Context(), before, ends)
}
