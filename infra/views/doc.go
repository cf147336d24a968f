// Package views keeps projections in Redis, beside the log that they are made from, and reads them.
//
// # Keys, under view: of a partition
//
//	head                         hash: checkpoint, generation, version and counts of what was folded, and
//	                             which index is theirs
//	queues throughput names workers
//	                             hash: field of the view → JSON
//	tasks                        hash: queue → how many tasks were cancelled, JSON
//	tasks:<index>:<state>:<queue>  the index, a zset: task → ms of its last change; where the
//	                             state is completed, a list of "<ms> <task>"
//	lease                        which projector folds this partition, with a TTL
//	shadow:<generation>          views that are being made: how often they were written, with a TTL;
//	                             their index has its own keys, their hashes shadow:<generation>:<view>
//
// # Guarantees
//
// All views of a partition stand at one checkpoint, and a script stores both in one step: after a
// crash at any moment the views are those of the checkpoint. A projector that was overtaken is told so
// and stores nothing; one that does not know whether it stored loads the views again.
//
// Views are made again under a new generation, and nobody can store into an old one. Those that can be
// read are made as a Shadow, which nobody sees before it takes their place in one step; those that are
// missing or broken are reset, and grow. What is left of old ones, and of shadows that nobody makes any
// more, is swept.
//
// # Reading
//
// A reader sees the views as of a checkpoint, and Freshness says which. Tasks come from their rows:
// the index only says which rows to look at, and a row that has moved on since is not listed.
package views
