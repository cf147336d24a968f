package eventlog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestARequestIsAnsweredWithWhatBecameOfIt(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		now := must(h.log.Now(t.Context()))(h)
		tests := []struct {
			name  string
			delay time.Duration
			runAt time.Time
			state events.State
			dueIn time.Duration
		}{
			{name: "at once", state: events.StateWaiting},
			{name: "later", delay: hour, state: events.StateDelayed, dueIn: hour},
			{name: "in less than a ms", delay: time.Microsecond, state: events.StateDelayed, dueIn: time.Millisecond},
			{name: "before now", delay: -hour, state: events.StateWaiting},
			{name: "at a time", runAt: now.Add(2 * hour), state: events.StateDelayed, dueIn: 2 * hour},
			{name: "at a time that is past", runAt: now.Add(-hour), state: events.StateWaiting},
			{name: "at a time in spite of a delay", delay: hour, runAt: now.Add(-hour), state: events.StateWaiting},
		}
		for _, test := range tests {
			r := want(test.name)
			r.Delay, r.RunAt = test.delay, test.runAt
			got := h.request(r)
			task := h.task(test.name)
			if got.Task != test.name || got.Queue != "q" || got.State != test.state || got.Duplicate || got.Event != task.Events[0] {
				t.Errorf("%s: got %+v", test.name, got)
			}
			late := time.UnixMilli(got.DueAt).Sub(now) - test.dueIn
			if late < -time.Millisecond || late > time.Minute || got.DueAt != task.DueAt {
				t.Errorf("%s: due %s late", test.name, late)
			}
			h.agree(h.all(), test.name)
		}
	})
}

func TestARequestAskedForTwiceIsMadeOnce(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		r := want("a")
		first := h.request(r)
		h.unchanged(func() {
			if again := h.request(r); again != first {
				t.Errorf("got %+v, at first %+v", again, first)
			}
		})
		other := r
		other.Queue, other.Priority, other.Delay, other.RequestID = "other", 7, hour, "another"
		h.unchanged(func() {
			duplicate := first
			duplicate.Duplicate = true
			if again := h.request(other); again != duplicate {
				t.Errorf("a duplicate got %+v, and the task is %+v", again, first)
			}
		})
		h.due("q")
		if again := h.request(other); again.State != events.StateDue || !again.Duplicate {
			t.Errorf("a late duplicate got %+v", again)
		}
		h.expect("a", "Requested Due")
	})
}

func TestOneOfManyRequestsForATaskWins(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		const racers = 50
		receipts := make([]eventlog.Receipt, racers)
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				r := want("a")
				r.RequestID = fmt.Sprint(i)
				receipt, err := h.log.Request(t.Context(), r)
				if err != nil {
					t.Error(err)
				}
				receipts[i] = receipt
			})
		}
		wg.Wait()
		winners := 0
		for _, r := range receipts {
			if !r.Duplicate {
				winners++
			}
			if r.Event != receipts[0].Event {
				t.Errorf("got %s and %s", r.Event, receipts[0].Event)
			}
		}
		if winners != 1 {
			t.Errorf("%d requests made the task", winners)
		}
		h.expect("a", "Requested")
	})
}

func TestAPayloadComesOutAsItWentIn(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for i, payload := range []string{
			`null`, `[]`, `{}`, `{"a":[],"b":{}}`, `12345678901234567890`, `1e400`, `"%d%s\\u0000"`, `"<b>&"`,
			`{"queue":"x","dueAt":0}`, `"}"`, `"` + strings.Repeat("x", 1<<20) + `"`,
		} {
			r := want(fmt.Sprintf("p%d", i))
			r.Payload = json.RawMessage(payload)
			h.request(r)
			if got := h.task(r.Task).Payload; string(got) != payload {
				t.Errorf("the row holds %.80s, want %.80s", got, payload)
			}
			h.agree(h.all(), r.Task)
		}
	})
}

func TestAPayloadThatIsNotJSONIsRefused(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		r := want("a")
		r.Payload = json.RawMessage(`{"a":`)
		h.unchanged(func() {
			if _, err := h.log.Request(t.Context(), r); err == nil {
				t.Error("it was accepted")
			}
		})
	})
}

func TestNamesAreOpaqueToTheScripts(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for _, name := range []string{`a"b\`, "ü %d %s", "a:b:c", "1-1", " released x", "]]--[[", strings.Repeat("n", events.MaxNameBytes)} {
			r := want(name)
			r.Queue, r.Name = name, name
			h.request(r)
			h.due(name)
			a := h.take(name, "w1")
			a.Worker = name
			must(h.log.Start(t.Context(), a, hour))(h)
			must(h.log.Fail(t.Context(), a, 0, events.ReasonError, name, nil))(h)
			must(h.log.Retry(t.Context(), name, name, name))(h)
			must(h.log.Cancel(t.Context(), name, name, name))(h)
			h.expect(name, "Requested Due Started(1,"+name+") Failed(1,error) RetryRequested(failed) Cancelled(waiting)")
		}
	})
}
