// Package audit reads the events of one partition and says whether they can be true: whether every
// promise that a log can show was kept.
//
// # What it finds
//
// It judges each event by those before it. events.Task.Evolve is the base, and says which order is
// legal; beside it stand the promises that one task's state machine cannot see: that no attempt is
// due early, that a retry keeps to its backoff, that an event tells of its task what is so, that
// nothing of a paused queue becomes due. The list is Invariants.
//
// A violation is counted once: the task is taken to be where the event says, and what follows is
// judged from there. And each invariant counts how often it could have been broken, for a log
// without an example proves nothing.
//
// # Memory
//
// A task that is under way is kept without its payload and with one entry id, however many events it
// had. One that is over takes some 100 bytes: where it stands, and hashes of the rest, so that whatever
// follows is still found, and its row can be compared. Ids of tasks that are over are kept as
// hashes of 64 bits: two tasks in ten million million are taken for one.
//
// # A log without its beginning
//
// Where old entries were trimmed, the first event of a task may be any: it is then believed.
package audit
