package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tasklog/tasklog/events"
)

// Report is what a Verify found of one partition.
type Report struct {
	Partition int       `json:"partition"`
	Segments  int       `json:"segments"`
	Entries   int64     `json:"entries"`
	Bytes     int64     `json:"bytes"`  // of all objects
	First     events.ID `json:"first"`  // zero when there is no segment
	Last      events.ID `json:"last"`   // zero when there is no segment
	Wrong     []Wrong   `json:"wrong"`  // what is damaged or missing, by segment
	Gaps      []Gap     `json:"gaps"`   // what was trimmed before it was archived, and is lost
	Strays    []string  `json:"strays"` // objects that belong to no segment; they do no harm
}

// Wrong is one thing that is wrong with a segment.
type Wrong struct {
	Object string    `json:"object"`
	First  events.ID `json:"first"`
	Last   events.ID `json:"last"`
	Why    string    `json:"why"`
}

// Gap is a stretch of the log without entries that the archive cannot know: After < id <= Until.
type Gap struct {
	After events.ID `json:"after"`
	Until events.ID `json:"until"`
}

// OK reports whether nothing is wrong.
func (r Report) OK() bool { return len(r.Wrong) == 0 }

// Verify reads all objects of a partition and holds them to the chain of manifests. An error is one of the
// bucket: what is wrong with the archive is in the report.
func (a *Archive) Verify(ctx context.Context, partition int) (Report, error) {
	r := Report{Partition: partition, Wrong: []Wrong{}, Gaps: []Gap{}, Strays: []string{}}
	links, err := a.anew(ctx, partition)
	if err != nil {
		return r, err
	}
	end := events.ID{}
	for _, l := range links {
		if l.err == nil && l.After.Compare(end) > 0 {
			r.Gaps = append(r.Gaps, Gap{end, l.After})
		}
		end = l.Last
		r.Segments++
		_, wrong := a.verify(ctx, partition, l)
		for _, err := range wrong {
			e, ok := errors.AsType[*SegmentError](err)
			if !ok {
				return r, err
			}
			r.Wrong = append(r.Wrong, Wrong{e.Object, e.First, e.Last, e.Err.Error()})
		}
		if l.err == nil {
			r.Entries += l.Count
			r.Bytes += l.Lines.Bytes + l.Table.Bytes
			r.Last = l.Last
			if r.First.IsZero() {
				r.First = l.First
			}
		}
	}
	r.Strays, err = a.strays(ctx, partition, links)
	return r, err
}

// anew reads all manifests of a partition again: what is known may have been damaged since.
func (a *Archive) anew(ctx context.Context, partition int) ([]link, error) {
	c := a.chainOf(partition)
	c.mu.Lock()
	c.links = nil
	c.mu.Unlock()
	return a.links(ctx, partition, true)
}

// verify reads the objects of a segment. It returns the entries, and what is wrong.
func (a *Archive) verify(ctx context.Context, partition int, l link) (*lines, []error) {
	if l.err != nil {
		return nil, []error{l.err}
	}
	var wrong []error
	entries, err := a.fetch(ctx, partition, l)
	if err != nil {
		wrong = append(wrong, err)
	}
	table, err := a.object(ctx, partition, l, l.Table)
	if err != nil {
		return entries, append(wrong, err)
	}
	if entries == nil {
		return nil, wrong
	}
	for i := range entries.ids {
		if _, err := entries.at(i); err != nil {
			return entries, append(wrong, a.damaged(partition, l, l.Lines.Name, fmt.Errorf("entry %s: %w", entries.ids[i], err)))
		}
	}
	if err := judgeTable(table, entries); err != nil {
		wrong = append(wrong, a.damaged(partition, l, l.Table.Name, err))
	}
	return entries, wrong
}

// strays returns the objects that belong to no segment.
func (a *Archive) strays(ctx context.Context, partition int, links []link) ([]string, error) {
	names, err := a.bucket.list(ctx, folder(a.prefix, partition))
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", a.name, err)
	}
	known := map[string]bool{}
	for _, l := range links {
		known[l.Lines.Name], known[l.Table.Name] = true, true
	}
	strays := []string{}
	for _, name := range names {
		n, ok := numberOf(name)
		if ok && n <= len(links) || known[name] {
			continue
		}
		if n := min(8, len(name)); n == 8 && brokenNumber(name[:8], links) {
			continue // its manifest, which would name it, is told already
		}
		strays = append(strays, name)
	}
	return strays, nil
}

// brokenNumber reports whether a name begins with the number of a segment that is known to be damaged.
func brokenNumber(digits string, links []link) bool {
	for i, l := range links {
		if l.err != nil && strings.HasPrefix(manifestName(i+1), digits) {
			return true
		}
	}
	return false
}
