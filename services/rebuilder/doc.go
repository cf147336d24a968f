// Package rebuilder makes the state that decisions are taken by again from the log: the rows of tasks, what
// is delayed and waiting, the dispatch streams, the leases and the mutexes of what runs.
//
// # How
//
// Each partition by itself. First its gate is shut: no decision is taken any more, so that the log has an end,
// and workers keep what they run. Then what is derived is removed, the log is folded into rows, and from the rows
// everything that finds them is made. Then the gate is opened. A rebuild that is killed leaves the gate shut;
// the next one takes the gate over and begins again, and whoever had it before notices with its next write.
//
// # What the log does not tell
//
// Who was handed which dispatch entry: the entries are handed out again. When leases end: each gets a full
// term from now, unless the ledger that was there says later. The mutexes of tasks that do not run are left
// alone: they end by themselves, and one may still keep an attempt that was cancelled from having another beside it.
package rebuilder
