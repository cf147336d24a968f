package verifier_test

import (
	"strings"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/verifier"
)

// write puts an event into the log as it is.
func (h *house) write(e events.Event) { h.Helper(); testredis.Write(h, h.log, h.p, e) }

func TestTheRowOfATaskThatEndedLongAgoMayBeGone(t *testing.T) {
	each(t, func(h *house) {
		now, err := h.log.Now(h.Context())
		h.must(err)
		ended := now.Add(-h.log.Retention()).UnixMilli()
		l := events.Label{Queue: "q", Name: "n"}
		request := events.TaskRequested{Label: l, Definition: events.Definition{MaxAttempts: 1}, DueAt: ended - 9}
		for _, id := range []string{"old", "again"} {
			h.write(events.Event{ID: events.ID{Ms: ended - 9, Seq: uint64(len(id))}, Task: id, Data: request})
		}
		for _, id := range []string{"old", "again"} {
			h.write(events.Event{ID: events.ID{Ms: ended, Seq: uint64(len(id))}, Task: id, Data: events.TaskCancelled{Label: l, By: "test", From: events.StateWaiting}})
		}
		h.must(h.log.Conn().View.SAdd(h.Context(), h.p.Queues, "q").Err())
		h.fill()
		h.request("again", 0, 0)
		h.project()
		r := h.good()
		if !strings.Contains(strings.Join(r.Notes, "\n"), "1 tasks ended more than 168h0m0s ago, and their rows are gone") {
			t.Errorf("the notes are %q", r.Notes)
		}
		h.must(h.log.Conn().View.Del(h.Context(), h.p.Task("completed")).Err())
		if bad := h.verify(verifier.Config{}); bad.OK || !says(bad, h.p.Task("completed"), "missing") {
			t.Errorf("a row is gone too soon, and the differences are %v", bad.Differences)
		}
	})
}

func TestTheRowOfATaskMayBeGoneWhenItsQueueHadTooMany(t *testing.T) {
	each(t, func(h *house) {
		h.fill() // four of its tasks are over
		h.request("newest", 0, 0)
		_, err := h.log.Cancel(h.Context(), "newest", "test", "")
		h.must(err)
		h.must(testredis.Retire(h.Context(), h.log, 1))
		h.project()
		if r := h.good(); !strings.Contains(strings.Join(r.Notes, "\n"), "4 more tasks are over, and their rows are gone: their queues had too many") {
			t.Errorf("the notes are %q", r.Notes)
		}
		h.request("completed", 0, 0) // it lives again
		h.good()

		row := h.rdb.HGetAll(h.Context(), h.p.Task("newest")).Val()
		h.must(h.rdb.Del(h.Context(), h.p.Task("newest")).Err())
		if bad := h.verify(verifier.Config{}); bad.OK || len(bad.Differences) != 1 || !says(bad, h.p.Task("newest"), "missing") {
			t.Errorf("the row of the newest is gone, and the differences are %v", bad.Differences)
		}
		h.must(h.rdb.HSet(h.Context(), h.p.Task("newest"), row).Err())
		h.good()

		h.must(h.rdb.Del(h.Context(), h.p.Retired).Err())
		if bad := h.verify(verifier.Config{}); bad.OK || bad.ViolationCount != 1 || len(bad.Differences) != 3 {
			t.Errorf("nobody says that rows were too many, and there are %v, %v", bad.Violations, bad.Differences)
		}
	})
}
