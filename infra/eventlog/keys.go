package eventlog

import (
	"context"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/tasklog/tasklog/events"
)

// gateName is the last part of Partition.Rebuild.
const gateName = "rebuild"

// Group is the consumer group of every dispatch stream.
const Group = "workers"

// Partition names the keys of one partition. All of them share a cluster slot.
type Partition struct {
	N       int
	Events  string // stream: the log
	Delayed string // zset: task → due time, ms
	Leases  string // zset: task → end of its lease, ms
	Ready   string // set: queues with something waiting
	Queues  string // set: every queue that was ever asked for
	Paused  string // set: paused queues
	Workers string // hash: worker id → what it announced
	Swept   string // time of the last sweep, ms
	Rebuild string // the gate: while it exists no decision is taken, for the state is being made again
	Trimmed string // hash: up to which id entries were removed from the log, and how many
	Readers string // hash: who needs the log from some id on → the id up to which it has read
	Retired string // hash: queue → newest event of the tasks that were over and whose rows went because there were too many
	Past    string // zset: entry id → its ms: the snapshots of the past that there are
	Copy    string // hash: of which log this one is a copy, and how far
	Signals string // pub/sub channel: "queue <name>", "cancel <task>"; a signal may be lost
	base    string
}

// newPartition returns the keys of partition n under a prefix.
func newPartition(prefix string, n int) Partition {
	base := prefix + ":{" + strconv.Itoa(n) + "}:"
	return Partition{
		N: n, Events: base + "events", Delayed: base + "delayed", Leases: base + "leases",
		Ready: base + "ready", Queues: base + "queues", Paused: base + "paused",
		Workers: base + "workers", Swept: base + "swept", Rebuild: base + gateName, Signals: base + "signals",
		Past: base + "snapshots", Trimmed: base + "trimmed", Readers: base + "readers", Retired: base + "retired", Copy: base + "copy", base: base,
	}
}

// Task is the key of a task's row, a hash.
func (p Partition) Task(id string) string { return p.base + "task:" + id }

// Lock is the key of a task's mutex.
func (p Partition) Lock(id string) string { return p.base + "lock:task:" + id }

// Waiting is the key of a queue's waiting tasks, a zset.
func (p Partition) Waiting(queue string) string { return p.base + "waiting:" + queue }

// Due is the key of a queue's dispatch stream.
func (p Partition) Due(queue string) string { return p.base + "due:" + queue }

// Finished is the key of a queue's tasks that are over, a zset: task → order of its end.
func (p Partition) Finished(queue string) string { return p.base + "finished:" + queue }

// View is the key of a projection.
func (p Partition) View(name string) string { return p.base + "view:" + name }

// Members is the key of who runs a service that shares the partitions, a hash. That of the first partition is used.
func (p Partition) Members(service string) string { return p.base + "members:" + service }

// Leads is the key of the lease of who leads a partition in such a service.
func (p Partition) Leads(service string) string { return p.base + "lock:" + service }

// Snapshot is the key of how things stood after an entry, a hash.
func (p Partition) Snapshot(after events.ID) string { return p.base + "snapshot:" + after.String() }

// glob escapes what SCAN takes for a pattern.
var glob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// Pattern is the pattern, for SCAN, of the partition's keys whose names go on with a word.
func (p Partition) Pattern(word string) string { return glob.Replace(p.base+word) + "*" }

// Scan looks at about n keys of the server that holds a partition and returns those of the partition whose names
// go on with a word, and the cursor to go on with; 0 at first, and when all were seen. A key that is there all the
// time is returned at least once, unless a cluster moves the partition meanwhile.
func (l *Log) Scan(ctx context.Context, p Partition, word string, cursor uint64, n int64) ([]string, uint64, error) {
	server, err := holder(ctx, l.conn.View, p.Events)
	if err != nil {
		return nil, 0, err
	}
	keys, next, err := server.Scan(ctx, cursor, p.Pattern(word), n).Result()
	stale(ctx, l.conn.View, err)
	return keys, next, err
}

// Of returns the partition that a task lives in: the CRC-32 (IEEE) of its id, modulo the number
// of partitions.
func (l *Log) Of(task string) Partition {
	return l.parts[home(task)%uint32(len(l.parts))]
}

// home is what, modulo the number of partitions, is the one that a task lives in.
func home(task string) uint32 { return crc32.ChecksumIEEE([]byte(task)) }

// Partitions returns all partitions, in order.
func (l *Log) Partitions() []Partition { return l.parts }

const metaSuffix = ":meta"

// metaKey holds what is fixed when a prefix is first used.
func metaKey(prefix string) string { return prefix + metaSuffix }

// ErrPartitions reports that the prefix was first used with another number of partitions.
type ErrPartitions struct{ Prefix, Have, Want string }

// Error says how to get from one number of partitions to another.
func (e *ErrPartitions) Error() string {
	return fmt.Sprintf("prefix %q has %s partitions and cannot be used with %s: "+
		"set TASKLOG_PARTITIONS=%s, or make a log with another number of it with `tasklog copy`",
		e.Prefix, e.Have, e.Want, e.Have)
}
