package audit_test

import (
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/audit"
)

func TestATaskThatIsPassedOverIsCounted(t *testing.T) {
	about := events.Label{Queue: "q", Name: "n"}
	for name, c := range map[string]struct {
		priorities [2]int
		first      int   // which of the two becomes due first
		at         int64 // ms after they were requested
		want       audit.Overtaken
	}{
		"in order":                {[2]int{0, 0}, 0, 5000, audit.Overtaken{}},
		"the later one":           {[2]int{0, 0}, 1, 5000, audit.Overtaken{Count: 1, MaxMs: 5000}},
		"the less urgent one":     {[2]int{1, 0}, 0, 5000, audit.Overtaken{Count: 1, MaxMs: 4999}},
		"the more urgent one":     {[2]int{1, 0}, 1, 5000, audit.Overtaken{}},
		"before it could be seen": {[2]int{0, 0}, 1, 900, audit.Overtaken{}},
	} {
		t.Run(name, func(t *testing.T) {
			ids := [2]string{"a", "b"}
			a := audit.New(audit.Config{})
			for i, id := range ids {
				ms := int64(1000 + i)
				a.Apply(events.Event{ID: events.ID{Ms: ms}, Task: id, Data: events.TaskRequested{
					Label: about, DueAt: ms, Definition: events.Definition{Priority: c.priorities[i], MaxAttempts: 1},
				}})
			}
			for n, i := range []int{c.first, 1 - c.first} {
				a.Apply(events.Event{ID: events.ID{Ms: 1000 + c.at, Seq: uint64(n)}, Task: ids[i], Data: events.TaskDue{
					Label: about, Attempt: 1, Priority: c.priorities[i], DueAt: int64(1000 + i), From: events.StateWaiting,
				}})
			}
			if r := a.Report(false); r.Overtaken != c.want || r.ViolationCount != 0 {
				t.Errorf("%+v, want %+v; violations %v", r.Overtaken, c.want, r.Violations)
			}
		})
	}
}
