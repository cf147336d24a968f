package own

import (
	"fmt"
	"runtime/debug"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections"
)

// What changed is stored at the latest when it has so many fields or bytes: it bounds the time that this takes
// Redis to a few ms, but for what one collection adds.
const (
	maxFields   = 1000
	maxBytes    = 1 << 20
	collectEach = 100 // entries
)

// Fold is a version of a view of one partition in memory, on its way from the stored checkpoint to the next. It
// is for one goroutine.
type Fold struct {
	Head

	part    eventlog.Partition
	kept    Kept
	view    projections.View
	stored  events.ID         // Invariant: stored <= Checkpoint
	changed map[string][]byte // since stored: values by field, nil where it is gone
	bytes   int               // of changed
	loose   int               // entries whose changes are not in changed yet
}

func newFold(p eventlog.Partition, k Kept, v projections.View) *Fold {
	return &Fold{part: p, kept: k, view: v, changed: map[string][]byte{}}
}

// FoldError reports that a view panicked. What it was told to fold is not in the stored view, and will be folded
// again: by a program that can.
type FoldError struct {
	View      Kept
	Partition int
	Entry     events.ID // the entry that was folded, or, where storing or loading failed, the last one
	Panic     any
	Stack     []byte
}

// Error names the view and the entry.
func (e *FoldError) Error() string {
	return fmt.Sprintf("view %s panicked at entry %s of partition %d: %v", e.View, e.Entry, e.Partition, e.Panic)
}

// guarded calls f, and makes an error of its panic.
func (f *Fold) guarded(call func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &FoldError{View: f.kept, Partition: f.part.N, Entry: f.Checkpoint, Panic: r, Stack: debug.Stack()}
		}
	}()
	call()
	return nil
}

// Add folds entries that follow in the log until the view must be stored, and returns how many it took. One that
// is no event moves the checkpoint only. After an error, a *FoldError, f is of no use.
func (f *Fold) Add(entries []eventlog.Entry) (taken int, err error) {
	err = f.guarded(func() {
		for _, e := range entries {
			if f.full() {
				return
			}
			taken++
			f.Checkpoint = e.ID
			f.Read++
			f.loose++
			if e.Err != nil {
				f.Skipped++
			} else {
				f.view.Apply(e.Event)
			}
			if f.loose >= collectEach {
				f.gather()
			}
		}
	})
	return taken, err
}

// full reports that the view must be stored before the next entry is folded.
func (f *Fold) full() bool {
	return len(f.changed) >= maxFields || f.bytes >= maxBytes
}

// Dirty reports that there is something to store.
func (f *Fold) Dirty() bool { return f.Checkpoint != f.stored }

// collect takes what changed out of the view.
func (f *Fold) collect() error { return f.guarded(f.gather) }

func (f *Fold) gather() {
	for field, value := range f.view.Changed() {
		f.bytes += len(field) + len(value) - len(f.changed[field])
		f.changed[field] = value
	}
	f.loose = 0
}

// told notes that the view is stored.
func (f *Fold) told() {
	f.stored = f.Checkpoint
	clear(f.changed)
	f.bytes = 0
}
