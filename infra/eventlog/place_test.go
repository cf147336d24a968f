package eventlog_test

import (
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

func TestAPlaceIsTheMemberThatTheScriptsWrite(t *testing.T) {
	each(t, func(t *testing.T, h *hand) {
		for _, id := range []string{"a", "b:c", "ü d"} {
			receipt := h.request(want(id))
			members := h.waiting("q")
			if got := members[len(members)-1]; got != eventlog.Place(receipt.Event, id) || eventlog.TaskAt(got) != id {
				t.Errorf("task %s is at %q, want %q; there is task %q", id, got, eventlog.Place(receipt.Event, id), eventlog.TaskAt(got))
			}
		}
	})
}

func TestAMemberThatIsNoPlaceNamesNoTask(t *testing.T) {
	for _, member := range []string{"", "a", eventlog.Place(events.MaxID, "")[:20]} {
		if got := eventlog.TaskAt(member); got != "" {
			t.Errorf("%q names %q", member, got)
		}
	}
}
