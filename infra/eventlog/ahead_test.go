package eventlog_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func entry(seq uint64) eventlog.Entry {
	return eventlog.Entry{Event: events.Event{ID: events.ID{Seq: seq}}}
}

// upTo returns a read function over the ids 1 … last, and counts its calls.
func upTo(last, n uint64, calls *int) func(context.Context, events.ID) ([]eventlog.Entry, bool, error) {
	return func(ctx context.Context, after events.ID) (page []eventlog.Entry, more bool, err error) {
		*calls++
		for seq := after.Seq + 1; seq <= last && uint64(len(page)) < n; seq++ {
			page = append(page, entry(seq))
		}
		return page, uint64(len(page)) == n, ctx.Err()
	}
}

func TestReadingAheadYieldsEachEntryOnceInOrder(t *testing.T) {
	for last := range uint64(25) {
		var calls int
		next := uint64(3)
		for page, err := range eventlog.ReadAhead(t.Context(), events.ID{Seq: 2}, upTo(last, 4, &calls)) {
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if e.ID.Seq != next {
					t.Fatalf("of %d entries, number %d comes where %d should", last, e.ID.Seq, next)
				}
				next++
			}
		}
		if want := max(last, 2) + 1; next != want {
			t.Errorf("of %d entries the last one was %d", last, next-1)
		}
		if want := int(max(last, 2)-2)/4 + 1; calls != want {
			t.Errorf("%d entries took %d reads; want %d", last, calls, want)
		}
	}
}

func TestReadingAheadEndsWithAnErrorAndWhenNobodyReadsOn(t *testing.T) {
	broken := errors.New("broken")
	pages := 0
	for _, err := range eventlog.ReadAhead(t.Context(), events.ID{}, func(_ context.Context, after events.ID) ([]eventlog.Entry, bool, error) {
		if after.Seq == 2 {
			return nil, false, broken
		}
		return []eventlog.Entry{entry(after.Seq + 1)}, true, nil
	}) {
		if pages++; pages == 3 && !errors.Is(err, broken) || pages < 3 && err != nil || pages > 3 {
			t.Errorf("page %d: %v", pages, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last := error(nil)
	var calls int
	for _, err := range eventlog.ReadAhead(ctx, events.ID{}, upTo(1<<60, 1, &calls)) {
		last = err
		cancel()
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("a cancelled sequence ends with %v", last)
	}
	calls = 0
	for _, err := range eventlog.ReadAhead(t.Context(), events.ID{}, upTo(1<<60, 1, &calls)) {
		if err != nil {
			t.Error(err)
		}
		break // goleak tells when the reader stays
	}
	if calls == 0 || calls > 7 {
		t.Errorf("%d pages were read for somebody who wanted one", calls)
	}
}
