// Package eventlog is the log on Redis: the decisions that append to it, and the reads.
//
// # Keys
//
// A partition p has one stream and what is derived from it, all in one cluster slot:
//
//	tasklog:{p}:events ───────── the log; everything below can be computed from it
//	  ├─ task:<id>               row: state, definition, attempt, token, the entry ids of its events
//	  ├─ delayed                 zset  task → due time, ms            delayed and retrying tasks
//	  ├─ waiting:<queue>         zset  place:task → priority          tasks whose time has come
//	  ├─ due:<queue>             stream, group "workers"              tasks handed to workers
//	  ├─ leases                  zset  task → end of its lease, ms    tasks that run
//	  ├─ finished:<queue>        zset  task → order of its end        tasks that are over, where their number is limited
//	  ├─ ready, queues, paused   sets  of queues: with something waiting, all, paused
//	  └─ view:<name>             a projection and its checkpoint
//	lock:task:<id>  workers  swept    not derived: who runs, who is there, when was swept
//	lock:<service>  members:<service> nor these: who leads the partition, who shares the partitions (in {0} only)
//	readers, retired                  who needs the log, and how far they came; which rows went before their time
//	rebuild                           the gate: while it is there, what is derived is being made again, or the log copied
//	copy                              of which log this one is a copy, and how far
//
// # Decisions
//
// Every append is a decision: a Lua script that checks a task's row and in the same atomic step
// adds the event and updates what the next decision needs. A decision is three neighbours here,
// such as finish.go, finish.lua and finish_test.go. Those of every task (request, start, finish) are
// taken in groups: what many ask at the same moment is one call, see group.go.
//
// # Guarantees
//
// The log never holds an event that events.Task.Evolve refuses, and the row never lags the log.
// A decision that is asked for again with the same arguments appends nothing and answers the same.
// Only Redis' clock counts. While the gate of a partition is shut, every decision there answers
// ErrRebuilding: what it would be taken by is being made again from the log, or the log is copied or was moved.
//
// # Memory
//
// Who reads on and on reads by Pages: some 4 MiB a reply, and not more than 64 MiB, but for the one page in which
// a process meets long entries for the first time. ReadAhead holds six pages at the most.
//
// # Failure
//
// An error of the network means unknown: the decision may have been taken. The methods of Log
// repeat it a few times, while their context lasts; after that the caller may. Unavailable tells
// such errors from the final ones.
package eventlog
