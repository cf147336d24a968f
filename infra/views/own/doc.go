// Package own keeps views of users in Redis, beside the log that they are made from: each version of each
// view on its own, and which version is served.
//
// # Keys, under view:own: of a partition
//
//	<name>                  hash: version, that which is served. Partition 0 decides; elsewhere it says
//	                        which versions are over
//	<name>:<version>        hash: field of the view → JSON
//	<name>:<version>:head   hash: checkpoint, generation and counts of what was folded
//	<name>:<version>:lease  who keeps this version of the partition, with a TTL
//
// In the hash readers of the partition the field view:<name>:<version> is the checkpoint again: trimming
// never passes it.
//
// # Guarantees
//
// The fields of a version, its checkpoint and its entry in readers change in one step: after a crash at any
// moment they are those of the checkpoint. A keeper that was overtaken is told so and stores nothing; one that
// does not know whether it stored loads the view again.
//
// # Versions
//
// The first version is served from its beginning. A greater one is made beside it, in every partition, and
// served when each of them has caught up with its log: one write, to one key. Then the older ones are over:
// nobody can store into them, and their keys are swept. A version that is less than the served one is refused.
package own
