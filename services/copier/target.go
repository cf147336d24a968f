package copier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// checkpoint is how far a partition of the copy was compared with its sources.
type checkpoint struct {
	Entries int64         `json:"entries"`
	Last    events.ID     `json:"last"`
	Sources map[int]place `json:"sources"` // by partition
}

// target is a partition of the copy.
type target struct {
	log  *eventlog.Log
	part eventlog.Partition
	gate string // with which we shut it
	done bool   // it is complete: it may be open already
	have int64  // entries that were there when we came

	cp      checkpoint
	last    events.ID // of the entry that comes last, those that are pending counted
	pending []pending
	moved   int64 // entries that got another id
	stale   bool  // the stored checkpoint is behind
}

// pending is an entry that is to be in the copy.
type pending struct {
	eventlog.Raw
	from eventlog.Partition
	id   events.ID // there
}

// The fields of Partition.Copy.
const (
	fieldPrefix     = "prefix"     // of the source
	fieldPartitions = "partitions" // of the source
	fieldSource     = "source"     // for people
	fieldCheckpoint = "checkpoint" // JSON
	fieldDone       = "done"       // 1: nothing more is copied
)

// ErrNotEmpty reports a target that holds something else than a copy of the source.
var ErrNotEmpty = errors.New("it is neither empty nor a copy of this log that is not finished: name another prefix or Redis, or delete what is there")

// look reads what a partition of the target holds, and refuses what is no place for this copy.
func (c *Copy) look(ctx context.Context, p eventlog.Partition) (t *target, gate string, err error) {
	t = &target{log: c.target, part: p, cp: checkpoint{Sources: map[int]place{}}}
	refuse := func(why string) error {
		return fmt.Errorf("copy to %s: partition %d: %s: %w", c.cfg.Target, p.N, why, ErrNotEmpty)
	}
	if gate, err = c.target.Gate(ctx, p); err != nil {
		return nil, "", err
	}
	fields, err := c.target.Conn().View.HGetAll(ctx, p.Copy).Result()
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", p.Copy, err)
	}
	info, err := c.target.Info(ctx, p)
	if err != nil {
		return nil, "", err
	}
	if len(fields) == 0 {
		n, err := c.target.Conn().View.Exists(ctx, p.Events, p.Delayed, p.Leases, p.Ready, p.Queues, p.Paused, p.Trimmed).Result()
		switch {
		case err != nil:
			return nil, "", fmt.Errorf("look what is in partition %d of the target: %w", p.N, err)
		case n > 0 || !info.Last.IsZero():
			return nil, "", refuse("it has a log of its own")
		case gate != "" && kindOf(gate) != eventlog.GateCopying:
			return nil, "", refuse("its state is being made again")
		}
		return t, gate, nil
	}
	if fields[fieldPrefix] != c.source.Prefix() || fields[fieldPartitions] != strconv.Itoa(len(c.source.Partitions())) {
		return nil, "", refuse(fmt.Sprintf("it is a copy of prefix %q with %s partitions, from %s", fields[fieldPrefix], fields[fieldPartitions], fields[fieldSource]))
	}
	t.have = info.Length
	t.done = fields[fieldDone] != ""
	if text := fields[fieldCheckpoint]; text != "" {
		if err := json.Unmarshal([]byte(text), &t.cp); err != nil {
			return nil, "", refuse("its checkpoint cannot be read: " + err.Error())
		}
	}
	switch {
	case t.done && gate != "" && kindOf(gate) != eventlog.GateCopying:
		return nil, "", errors.Join(ErrFinished, refusal(gate)) // it has a life of its own, and is shut for that
	case t.done:
	case gate == "":
		return nil, "", refuse("somebody opened it before it was finished")
	case info.Length < t.cp.Entries:
		return nil, "", refuse(fmt.Sprintf("it has %d entries, and had %d", info.Length, t.cp.Entries))
	}
	t.last = t.cp.Last
	return t, gate, nil
}

// shut takes the gate of a partition, and notes that a copy begins there.
func (c *Copy) shut(ctx context.Context, t *target, have string) error {
	gate := eventlog.CopyGate(eventlog.GateCopying, c.token, c.cfg.Source)
	if err := swap(ctx, c.target, t.part, have, gate); err != nil {
		return err
	}
	t.gate = gate
	if have == "" { // whoever came before us is seen now
		err := eventlog.Persist(ctx, func() error {
			_, _, err := c.look(ctx, t.part)
			return err
		})
		if err != nil {
			return errors.Join(err, swap(ctx, c.target, t.part, gate, ""))
		}
	}
	return eventlog.Persist(ctx, func() error {
		return c.target.Conn().View.HSet(ctx, t.part.Copy, fieldPrefix, c.source.Prefix(),
			fieldPartitions, len(c.source.Partitions()), fieldSource, c.cfg.Source).Err()
	})
}

// add appends an entry of s to what is to be in the copy, unless it was before.
func (t *target) add(s *source, e eventlog.Raw) {
	if e.ID.Compare(t.cp.Sources[s.part.N].At) <= 0 {
		return
	}
	id := e.ID
	if id.Compare(t.last) <= 0 {
		id = t.last.Next()
		t.moved++
	}
	t.last = id
	t.pending = append(t.pending, pending{Raw: e, from: s.part, id: id})
}

// flush brings what is pending into the copy, compares it, and notes how far the sources were read.
func (t *target) flush(ctx context.Context, sources []*source) error {
	for _, s := range sources {
		if s.place.At.Compare(t.cp.Sources[s.part.N].At) > 0 {
			t.stale = true
		}
	}
	if len(t.pending) > 0 {
		if err := t.write(ctx); err != nil {
			return err
		}
		crashpoint.Hit(crashpoint.CopyMid)
		if err := t.compare(ctx); err != nil {
			return err
		}
	}
	next := checkpoint{Entries: t.cp.Entries + int64(len(t.pending)), Last: t.last, Sources: maps.Clone(t.cp.Sources)}
	for _, s := range sources {
		if s.place.At.Compare(next.Sources[s.part.N].At) > 0 {
			next.Sources[s.part.N] = s.place
		}
	}
	t.cp = next
	if len(t.pending) == 0 {
		return nil
	}
	t.pending = t.pending[:0]
	return t.note(ctx)
}

// note stores the checkpoint. One that is older than what is there does no harm: more is compared again.
func (t *target) note(ctx context.Context) error {
	if !t.stale {
		return nil
	}
	text, err := json.Marshal(t.cp)
	if err != nil {
		return err
	}
	err = eventlog.Persist(ctx, func() error { return t.log.Conn().View.HSet(ctx, t.part.Copy, fieldCheckpoint, text).Err() })
	if err == nil {
		t.stale = false
	}
	return err
}

const writeBytes = 1 << 20 // in one call, unless one entry alone has more

// write appends what is pending.
func (t *target) write(ctx context.Context) error {
	first, list := t.cp.Entries, t.pending
	for len(list) > 0 {
		var some []eventlog.Raw
		for bytes := 0; len(some) < len(list) && len(some) < eventlog.MaxAdopt; {
			e := list[len(some)]
			if bytes += e.Size(); bytes > writeBytes && len(some) > 0 {
				break
			}
			some = append(some, eventlog.Raw{ID: e.id, Fields: e.Fields})
		}
		if err := eventlog.Persist(ctx, func() error { return t.log.Adopt(ctx, t.part, t.gate, first, some) }); err != nil {
			return err
		}
		first += int64(len(some))
		list = list[len(some):]
	}
	return nil
}

// DiffersError reports an entry of the copy that is not what the source has.
type DiffersError struct {
	Partition int       // of the copy
	Entry     events.ID // of the copy
	From      int       // partition of the source
	Source    events.ID // its entry
	Why       string
}

// Error names the entries.
func (e *DiffersError) Error() string {
	return fmt.Sprintf("entry %s of partition %d of the copy is not entry %s of partition %d of the source: %s; delete the copy and begin anew",
		e.Entry, e.Partition, e.Source, e.From, e.Why)
}

// compare reads back what was pending.
func (t *target) compare(ctx context.Context) error {
	after, list := t.cp.Last, t.pending
	for len(list) > 0 {
		n := 1
		for bytes := list[0].Size(); n < len(list) && n < maxPage && bytes < 4*writeBytes; n++ {
			bytes += list[n].Size()
		}
		var have []eventlog.Raw
		err := eventlog.Persist(ctx, func() (err error) {
			have, err = t.log.Raw(ctx, t.part, after, list[n-1].id, n+1)
			return err
		})
		if err != nil {
			return err
		}
		for i, want := range list[:n] {
			differs := &DiffersError{Partition: t.part.N, Entry: want.id, From: want.from.N, Source: want.ID}
			switch {
			case i >= len(have) || have[i].ID.Compare(want.id) > 0:
				differs.Why = "it is missing"
			case have[i].ID != want.id:
				differs.Entry, differs.Why = have[i].ID, "nobody copied it"
			case !slices.Equal(have[i].Fields, want.Fields):
				differs.Why = "its fields differ"
			default:
				continue
			}
			return differs
		}
		if len(have) > n {
			return &DiffersError{t.part.N, have[n].ID, list[n-1].from.N, list[n-1].ID, "nobody copied it"}
		}
		after, list = list[n-1].id, list[n:]
	}
	return nil
}

// whole reports nil when nobody else touched the log of the copy.
func (t *target) whole(ctx context.Context) error {
	info, err := t.log.Info(ctx, t.part)
	switch {
	case err != nil:
		return err
	case info.Length != t.cp.Entries || info.Added >= 0 && info.Added != t.cp.Entries:
		return fmt.Errorf("partition %d of the copy has %d entries, of %d that were ever there, and %d were copied: somebody else writes to it",
			t.part.N, info.Length, info.Added, t.cp.Entries)
	}
	return nil
}

// finish notes that nothing more is copied.
func (t *target) finish(ctx context.Context) error {
	return eventlog.Persist(ctx, func() error { return t.log.Conn().View.HSet(ctx, t.part.Copy, fieldDone, 1).Err() })
}
