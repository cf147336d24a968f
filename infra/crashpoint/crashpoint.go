// Package crashpoint names the places at which a process may die and nothing may be lost. In a program
// built as usual they cost nothing. Built with the tag "chaos", the program kills itself at the place that
// the variable TASKLOG_CRASH names, as if its machine had: no deferred call runs, nothing is flushed.
package crashpoint

// Variable is the environment variable that names a point, and after a colon at which of its hits to
// die: "worker.after_start:3". Without a number it is the first.
const Variable = "TASKLOG_CRASH"

// A Point is a place in the code of a service.
type Point string

// The points, by service.
const (
	APIBeforeRequest Point = "api.before_request" // a request was read and checked, and not asked of Redis
	APIAfterRequest  Point = "api.after_request"  // Redis has it, the client was not answered

	SchedulerAfterLook Point = "scheduler.after_look" // it knows what to do, and has done nothing
	SchedulerAfterDue  Point = "scheduler.after_due"  // tasks were dispatched
	SchedulerListed    Point = "scheduler.listed"     // the sweep knows whose lease ended, and has ended none

	WorkerAfterTake    Point = "worker.after_take"    // entries were delivered and are in no handler
	WorkerAfterStart   Point = "worker.after_start"   // the task is active, its handler has not begun
	WorkerBeforeFinish Point = "worker.before_finish" // the handler did its work, and nobody knows
	WorkerAfterFinish  Point = "worker.after_finish"  // the end is recorded, the worker has not heard of it
	WorkerHeartbeat    Point = "worker.heartbeat"     // leases are about to be extended

	ProjectorBeforeSave Point = "projector.before_save" // events were folded, the views are the old ones
	ProjectorAfterSave  Point = "projector.after_save"  // views and checkpoint are stored

	ArchiveSegmentWritten Point = "archive.segment_written" // the entries of a segment are in their file
	ArchiveParquetWritten Point = "archive.parquet_written" // and in the file for analysis
	ArchiveBeforeManifest Point = "archive.before_manifest" // the segment does not exist yet
	ArchiveAfterManifest  Point = "archive.after_manifest"  // it does
	ArchiveBeforeTrim     Point = "archive.before_trim"     // segments were read back, the stream has them too
	ArchiveAfterTrim      Point = "archive.after_trim"      // the stream has lost some of them
)

// The points of a rebuild of the state. No service comes by them.
const (
	RebuildAfterGate  Point = "rebuild.after_gate"  // no decision is taken any more, all is as it was
	RebuildAfterClear Point = "rebuild.after_clear" // what is made again is gone
	RebuildMidWrite   Point = "rebuild.mid_write"   // rows are there, and nothing that finds them
	RebuildBeforeOpen Point = "rebuild.before_open" // all is there, and no decision is taken
)

// The points of a replay of the views. No service comes by them.
const (
	ReplayMidShadow   Point = "replay.mid_shadow"   // a piece of the new views is written, nobody reads them
	ReplayAfterShadow Point = "replay.after_shadow" // they are where the stored ones were a moment ago
	ReplayBeforeSwap  Point = "replay.before_swap"  // projectors store nothing, the new views are whole
	ReplayAfterSwap   Point = "replay.after_swap"   // the new ones are stored, of the old ones there are leftovers
)

// ReplayPoints lists them.
var ReplayPoints = []Point{ReplayMidShadow, ReplayAfterShadow, ReplayBeforeSwap, ReplayAfterSwap}

// The points of a keeper of users' own views. No service comes by them.
const (
	OwnMidRebuild Point = "own.mid_rebuild" // a part of a new version is stored
	OwnBeforeSwap Point = "own.before_swap" // the new version has caught up, the old one is served
	OwnAfterSwap  Point = "own.after_swap"  // the new version is served, the keys of the old one are there
)

// OwnPoints lists them.
var OwnPoints = []Point{OwnMidRebuild, OwnBeforeSwap, OwnAfterSwap}

// The points of a copy of the log. No service comes by them.
const (
	CopyAfterGate   Point = "copy.after_gate"   // the target is shut, and nothing of it copied
	CopyMid         Point = "copy.mid"          // some entries were copied, and not looked at
	CopyAfterShut   Point = "copy.after_shut"   // the source is shut, for it moves
	CopyBeforeState Point = "copy.before_state" // all entries are there
	CopyAfterState  Point = "copy.after_state"  // the state is there, and the source not given up
	CopyAfterMoved  Point = "copy.after_moved"  // the source is given up, the copy not open
	CopyMidOpen     Point = "copy.mid_open"     // some of its partitions are open
)

// CopyPoints lists them.
var CopyPoints = []Point{CopyAfterGate, CopyMid, CopyAfterShut, CopyBeforeState, CopyAfterState, CopyAfterMoved, CopyMidOpen}

// RebuildPoints lists those of a rebuild of the state.
var RebuildPoints = []Point{RebuildAfterGate, RebuildAfterClear, RebuildMidWrite, RebuildBeforeOpen}

// ArchivePoints lists those of the archive, which no service of a system under load comes by.
var ArchivePoints = []Point{
	ArchiveSegmentWritten, ArchiveParquetWritten, ArchiveBeforeManifest, ArchiveAfterManifest, ArchiveBeforeTrim, ArchiveAfterTrim,
}

// Points lists those that services come by.
var Points = []Point{
	APIBeforeRequest, APIAfterRequest,
	SchedulerAfterLook, SchedulerAfterDue, SchedulerListed,
	WorkerAfterTake, WorkerAfterStart, WorkerBeforeFinish, WorkerAfterFinish, WorkerHeartbeat,
	ProjectorBeforeSave, ProjectorAfterSave,
}

// Last is what a process says on standard error when it dies at a point, before the point's name.
const Last = "crash point "
