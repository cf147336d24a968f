// Package past answers what was true at an instant: from the nearest snapshot before it, and the entries of the
// log from there on.
//
// # Keys, of a partition
//
//	snapshots        zset: entry id → its ms; a snapshot that is not named here does not exist
//	snapshot:<id>    hash: version, chunks, and "0", "1", … the chunks of an asof.View as of that entry,
//	                 encoded, zstd-compressed and cut to 512 KiB, so that no command holds Redis long
//	readers          field "snapshots": the entry of the newest one, beyond which the log is not trimmed
//
// # Guarantees
//
// A snapshot is named in the step in which it is whole. It is that of its entry in the log that is there: what a
// failover or a FLUSHALL took is in none. Snapshots are derived: without them the same answers take longer, and a
// projector makes them again. Those of another version of asof.View are passed over, and swept by it.
//
// An instant means the same in every partition: everything up to and including that entry id had happened.
//
// # Missing entries
//
// Where entries were removed from the log and neither a snapshot nor an archive has them, an instant before what is
// left is an *UncoveredError; later ones are told from what is left, and View.Missed says how many are missing.
package past
