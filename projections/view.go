package projections

import (
	"iter"

	"github.com/tasklog/tasklog/events"
)

// Applier is what can be folded: it counts events.
type Applier interface {
	// Apply counts e. It asks nobody: events.From(e.Data) names the state that the task left.
	Apply(e events.Event)
}

// View is a fold whose state can be kept as fields: a field is the smallest thing that changes
// alone, such as one queue or one minute, so that storing a view costs what changed in it.
type View interface {
	Applier
	// Name tells views apart, for ever.
	Name() string
	// Version tells layouts and meanings of one view apart: stored fields of another version are of
	// no use, and the view is made again from the log.
	Version() int
	// Changed yields, in the order of names, every field that changed since the last call, with its
	// value, or nil when the field is gone.
	Changed() iter.Seq2[string, []byte]
	// Load replaces the state with what was stored. An error means that the fields cannot be ours.
	Load(fields map[string]string) error
}
