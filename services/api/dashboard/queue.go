package dashboard

import (
	"cmp"
	"slices"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/names"
	"github.com/tasklog/tasklog/projections/queues"
)

// QueuePage is the page of one queue.
type QueuePage struct {
	Base
	Charts
	Queue Queue
	Tasks TasksPage // of the queue
	Names []Name    // in the order of WorstFirst
	Since int64     // ms: from when on Names are counted
}

func (QueuePage) template() string { return "queue" }

// Failed is how many of its tasks failed.
func (p QueuePage) Failed() int64 { return p.Queue.Counts[events.StateFailed] }

// Name is what happened to the tasks of a name in a queue.
type Name struct{ names.Name }

// Failing is how many in a hundred of the attempts failed.
func (n Name) Failing() float64 {
	return 100 * queues.Minute{Completed: n.Completed, Failed: n.Failed, Retried: n.Retried}.FailingShare()
}

// RunTime tells in which time a share of the attempts, 0 … 1, were over; nothing when none is.
func (n Name) RunTime(share float64) string {
	if n.Run.Count() == 0 {
		return ""
	}
	return length(n.Run.Quantile(share))
}

// WorstFirst orders names by the share of attempts that failed, then by how many tasks were asked for. What is
// counted under no name is the last.
func WorstFirst(list []names.Name) []Name {
	worst := make([]Name, 0, len(list))
	for _, n := range list {
		worst = append(worst, Name{n})
	}
	slices.SortStableFunc(worst, func(a, b Name) int {
		if (a.Name.Name == "") != (b.Name.Name == "") {
			return cmp.Compare(b.Name.Name, a.Name.Name)
		}
		return cmp.Or(cmp.Compare(b.Failing(), a.Failing()), cmp.Compare(b.Requested, a.Requested))
	})
	return worst
}
