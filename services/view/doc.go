// Package view keeps views of your own: folds of the log that a program of yours defines, stored in Redis
// beside the log, and read by any program.
//
// A view is a Go type with a name, a version, a fold of one event, and a way to add what another partition
// counted. Embedding projections.Fields gives it everything else:
//
//	type Spend struct{ projections.Fields[int64] }
//
//	func (*Spend) Name() string { return "spend" }
//	func (*Spend) Version() int { return 1 }
//	func (s *Spend) Apply(e events.Event) {
//		if d, ok := e.Data.(events.TaskCompleted); ok {
//			*s.Touch(d.Name) += d.RunMs
//		}
//	}
//	func (s *Spend) Merge(o *Spend) {
//		for name, ms := range o.All() {
//			*s.Touch(name) += *ms
//		}
//	}
//
// Keep follows the log with it, Read reads it.
//
// # Guarantees
//
// What is stored is the fold of exactly the events up to its checkpoint, always: after a crash at any moment, a
// lost answer, or with several programs that keep the same view: they share the partitions, and one of them keeps
// each. An entry of the log that is no event is counted and skipped. The log is not trimmed before a view has read
// it. An event is in the view some 100 ms after it happened.
//
// # Versions
//
// A type whose fold or fields change gets a greater Version. The program that knows it makes the new version from
// the log, beside the old one, which is served meanwhile, and kept up by programs that know that. When the new
// one has caught up in every partition it is served instead, in one step; programs with the old one stop with a
// *VersionError, and its keys go.
//
// # Size
//
// A view is as large as its fold makes it: nobody else bounds it. Every process that keeps it holds a partition
// of it in memory, and reading it reads all of it, in one step. Ten thousand small fields are well; a hundred
// thousand hold Redis for some 50 ms whenever the view is read; a field for each task that ever was is a mistake.
//
// # Failure
//
// Redis away: the stored view is loaded again when it is back. A program killed: another one goes on when the
// lease has ended, 5 s later at the most. A view that is lost or broken is made again from the log. A fold that
// panics ends Keep with a *FoldError, which names the entry, and nothing of that entry is stored.
package view
