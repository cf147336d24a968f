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
