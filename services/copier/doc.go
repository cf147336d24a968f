// Package copier copies a log into another prefix or another Redis, with as many partitions as one likes: the way
// to move, and to change the number of partitions.
//
// # How
//
// The copy is shut from its first entry on: no decision is taken there. Entries keep their fields byte for byte,
// those too that are no events. When the numbers of partitions are a and b, partition t of the copy is made
// from those partitions of the source whose numbers agree with t modulo gcd(a, b): by entry id, and where ids are
// equal, by partition. An entry keeps its id unless the one before it in the copy has it or a later one: then it gets the
// id after that one, of the same millisecond. Tasks go where they live; what belongs to no task, and what lies
// where it does not belong, goes from partition s to s modulo b. A queue is paused in the copy as long as it is in
// all partitions of the source that it is made from.
//
// So the same source makes the same copy, whenever and however often the work is interrupted.
//
// # Order of steps
//
// Entries are appended by scripts that count what is there (eventlog.Adopt), read back and compared with what
// the source said; then the place is noted in the hash Partition.Copy. A copy that is begun again goes on there.
//
// A move copies while the source goes on, then shuts it, copies the rest, makes the state, and only
// then says in the gate of the source that it is gone for good, and opens the copy. Whatever fails before that opens the source
// again; after it only the copy can go on.
//
// # What is not copied
//
// Leases and mutexes: an attempt that ran in the source has a full lease in the copy that nobody extends, and ends
// as abandoned. Dispatch entries that were handed to workers: they are handed out again. Presence of workers,
// views, consumer groups, readers, trim marks. But which rows went because there were too many is: the log does not
// tell it, and it says which ids may live again.
package copier
