package archive

import (
	"bytes"
	"context"
	"fmt"
	"sort"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Trimmed tells what left a stream.
type Trimmed struct {
	Entries int64     `json:"entries"`
	Upto    events.ID `json:"upto"`            // up to which entry the stream was ever trimmed
	Held    string    `json:"held,omitempty"`  // who needs entries that were to go
	HeldAt  events.ID `json:"heldAt,omitzero"` // the last entry that they let go
}

// Trim lets entries leave the stream of a partition that its retention lets go: those that are in the
// archive. Before, the segments that hold them are read back and verified, and their entries compared with
// those of the stream. It stops where somebody needs the next entry in the stream, and says who. A segment
// that is damaged is a *SegmentError, a stream that has something else ErrDiverged. What was trimmed before
// an error stays trimmed.
func (a *Archive) Trim(ctx context.Context, log *eventlog.Log, p eventlog.Partition, r Retention) (Trimmed, error) {
	t := trimmer{log: log, p: p}
	limit, err := t.begin(ctx, r)
	if err != nil {
		return t.done, err
	}
	links, err := a.anew(ctx, p.N)
	if err != nil {
		return t.done, err
	}
	var i int64 // entries of the stream that were looked at
	for _, l := range links {
		if l.Last.Compare(t.done.Upto) <= 0 {
			continue
		}
		if l.err != nil {
			return t.done, l.err
		}
		if !limit.lets(i, l.First) {
			return t.done, nil
		}
		entries, wrong := a.verify(ctx, p.N, l)
		if len(wrong) > 0 {
			return t.done, wrong[0]
		}
		crashpoint.Hit(crashpoint.ArchiveBeforeTrim)
		k := sort.Search(len(entries.ids), func(k int) bool { return entries.ids[k].Compare(t.done.Upto) > 0 })
		for k < len(entries.ids) {
			from := k
			for ; k < len(entries.ids) && k-from < eventlog.MaxTrim && limit.lets(i, entries.ids[k]); k++ {
				i++
			}
			if k == from {
				return t.done, nil
			}
			if err := a.compare(ctx, log, p, t.done.Upto, entries, from, k); err != nil {
				if upto, _, again := log.Trimmed(ctx, p); again == nil && upto.Compare(t.done.Upto) > 0 {
					return t.done, nil // another archiver trims
				}
				return t.done, err
			}
			if held, err := t.trim(ctx, entries.ids[k-1]); held || err != nil {
				return t.done, err
			}
		}
	}
	return t.done, nil
}

// compare returns nil when the stream has, after an id, exactly entries from to to of a segment.
func (a *Archive) compare(ctx context.Context, log *eventlog.Log, p eventlog.Partition, after events.ID, entries *lines, from, to int) error {
	last := entries.ids[to-1]
	differs := func(id events.ID) error {
		return fmt.Errorf("%w: partition %d has another entry at %s than archive %s: nothing from there on was trimmed", ErrDiverged, p.N, id, a.name)
	}
	for pages := log.Pages(page); from < to; {
		raw, _, err := pages.Raw(ctx, p, after, last)
		if err != nil {
			return err
		}
		if len(raw) == 0 || len(raw) > to-from {
			return differs(entries.ids[from])
		}
		for _, r := range raw {
			line, err := encodeLine(r)
			if err != nil || !bytes.Equal(line, entries.text(from)) {
				return differs(entries.ids[from])
			}
			after = r.ID
			from++
		}
	}
	return nil
}

// Discard lets entries leave the stream of a partition that its retention lets go, without an archive: they
// are lost. It keeps those from the first one on that belongs to a task with a row, which can be shown,
// retried or run, or that paused a queue that is paused: without them the state could not be made again.
func Discard(ctx context.Context, log *eventlog.Log, p eventlog.Partition, r Retention) (Trimmed, error) {
	t := trimmer{log: log, p: p}
	limit, err := t.begin(ctx, r)
	if err != nil {
		return t.done, err
	}
	pages := log.Pages(page)
	for i := int64(0); ; {
		raw, _, err := pages.Raw(ctx, p, t.done.Upto, events.MaxID)
		if err != nil || len(raw) == 0 {
			return t.done, err
		}
		needed, err := neededBy(ctx, log, p, raw)
		if err != nil {
			return t.done, err
		}
		k := 0
		for ; k < len(raw) && needed[k] == "" && limit.lets(i, raw[k].ID); k++ {
			i++
		}
		if k > 0 {
			if held, err := t.trim(ctx, raw[k-1].ID); held || err != nil {
				return t.done, err
			}
		}
		if k < len(raw) {
			if limit.lets(i, raw[k].ID) {
				t.done.Held, t.done.HeldAt = needed[k], raw[k].ID.Prev()
			}
			return t.done, nil
		}
	}
}

// neededBy says of each entry which task or queue still needs it, or "".
func neededBy(ctx context.Context, log *eventlog.Log, p eventlog.Partition, raw []eventlog.Raw) ([]string, error) {
	who := make([]string, len(raw))
	cmds := make([]func() bool, len(raw))
	_, err := log.Conn().View.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, r := range raw {
			if e := r.Entry(); e.Err == nil && e.Data.Type() == events.TypeQueuePaused {
				queue := e.Data.About().Queue
				cmd := pipe.SIsMember(ctx, p.Paused, queue)
				who[i], cmds[i] = "queue "+queue+", which is paused", cmd.Val
			} else if task := r.Field(events.FieldTask); task != "" {
				cmd := pipe.Exists(ctx, p.Task(task))
				who[i], cmds[i] = "task "+task+", which has a row", func() bool { return cmd.Val() > 0 }
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("who needs entries of partition %d: %w", p.N, err)
	}
	for i, holds := range cmds {
		if holds == nil || !holds() {
			who[i] = ""
		}
	}
	return who, nil
}

// trimmer trims a stream, step after step.
type trimmer struct {
	log    *eventlog.Log
	p      eventlog.Partition
	before int64 // entries that were trimmed before it began
	done   Trimmed
}

// begin looks up to where the stream was trimmed.
func (t *trimmer) begin(ctx context.Context, r Retention) (limit, error) {
	var err error
	if t.done.Upto, t.before, err = t.log.Trimmed(ctx, t.p); err != nil {
		return limit{}, err
	}
	return r.limit(ctx, t.log, t.p)
}

// trim takes one step: at most eventlog.MaxTrim entries, the last of which it is told. It reports whether
// somebody needs some of them; then those before these are gone all the same.
func (t *trimmer) trim(ctx context.Context, last events.ID) (bool, error) {
	held, err := t.log.Trim(ctx, t.p, last)
	if err != nil {
		return false, err
	}
	if held != nil {
		t.done.Held, t.done.HeldAt = held.By, held.At
		if last, err = t.lastUpto(ctx, held.At); err != nil {
			return false, err
		}
		if last.Compare(t.done.Upto) > 0 {
			again, err := t.log.Trim(ctx, t.p, last)
			if err != nil {
				return false, err
			}
			if again != nil { // somebody came meanwhile: the next run does it
				last = t.done.Upto
			}
		}
	}
	crashpoint.Hit(crashpoint.ArchiveAfterTrim)
	_, total, err := t.log.Trimmed(ctx, t.p)
	t.done.Upto, t.done.Entries = last, total-t.before
	return held != nil, err
}

// lastUpto returns the last entry of the stream up to an id, or that up to which it was trimmed.
func (t *trimmer) lastUpto(ctx context.Context, id events.ID) (events.ID, error) {
	if id.Compare(t.done.Upto) <= 0 {
		return t.done.Upto, nil
	}
	back, err := t.log.RangeBack(ctx, t.p, id.Next(), 1)
	if err != nil || len(back) == 0 || back[0].ID.Compare(t.done.Upto) < 0 {
		return t.done.Upto, err
	}
	return back[0].ID, nil
}
