package views

import (
	"strconv"
	"strings"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections"
	"github.com/tasklog/tasklog/projections/names"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/tasks"
	"github.com/tasklog/tasklog/projections/throughput"
	"github.com/tasklog/tasklog/projections/workers"
)

const (
	// maxMoved is how many tasks may have changed before the views must be stored: it bounds the time
	// that this takes Redis to some 2 ms.
	maxMoved = 1000
	// maxGathered is the same for a shadow, which is written piece by piece: it bounds memory, to some
	// 30 MiB. Of tasks that begin and end meanwhile little is written.
	maxGathered = 50_000
)

// Fold is the views of one partition in memory, on their way from the stored checkpoint to the next.
// It is for one goroutine.
type Fold struct {
	Head
	Queues     queues.View
	Throughput throughput.View
	Names      names.View
	Workers    workers.View
	Tasks      tasks.View

	part     eventlog.Partition
	stored   events.ID // Invariant: stored <= Checkpoint
	maxMoved int
}

func newFold(p eventlog.Partition) *Fold { return &Fold{part: p, maxMoved: maxMoved} }

func (f *Fold) views() []projections.View {
	return []projections.View{&f.Queues, &f.Throughput, &f.Names, &f.Workers, &f.Tasks}
}

// BuiltIn returns an empty one of each view that every log has.
func BuiltIn() []projections.View { return new(Fold).views() }

// version is that of everything that a Fold holds: a program of another one cannot read it.
func version() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(layout))
	for _, v := range new(Fold).views() {
		b.WriteString(" " + v.Name() + "=" + strconv.Itoa(v.Version()))
	}
	return b.String()
}

// Add counts the next entry of the log. One that is no event moves the checkpoint only.
func (f *Fold) Add(e eventlog.Entry) {
	f.Checkpoint = e.ID
	f.Read++
	if e.Err != nil {
		f.Skipped++
		return
	}
	f.Queues.Apply(e.Event)
	f.Throughput.Apply(e.Event)
	f.Names.Apply(e.Event)
	f.Workers.Apply(e.Event)
	f.Tasks.Apply(e.Event)
}

// Full reports that the views must be stored before the next entry is added.
func (f *Fold) Full(next eventlog.Entry) bool {
	return f.Tasks.Moved() >= f.maxMoved || f.Tasks.Due(next.Event)
}

// Dirty reports that there is something to store.
func (f *Fold) Dirty() bool { return f.Checkpoint != f.stored }
