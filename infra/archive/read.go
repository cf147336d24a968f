package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"

	"gocloud.dev/gcerrors"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// ErrMissing reports that an object is not there.
var ErrMissing = errors.New("it is missing")

func missing(err error) bool { return err != nil && gcerrors.Code(err) == gcerrors.NotFound }

// End returns the id of the last entry that is archived of a partition and how many there are, or the zero ID.
// It looks for what was archived since.
func (a *Archive) End(ctx context.Context, partition int) (events.ID, int64, error) {
	links, err := a.links(ctx, partition, true)
	if err != nil || len(links) == 0 {
		return events.ID{}, 0, err
	}
	var count int64
	for _, l := range links {
		if l.err != nil {
			return events.ID{}, 0, l.err
		}
		count += l.Count
	}
	return links[len(links)-1].Last, count, nil
}

// Range returns at most n entries of a partition after an id and not after until, oldest first. Fewer than n
// means that the archive has no more. A segment that it needs and that is damaged or missing is a
// *SegmentError, and then there are no entries: ask for those before its First.
func (a *Archive) Range(ctx context.Context, partition int, from, until events.ID, n int) ([]eventlog.Entry, error) {
	raw, err := a.Raw(ctx, partition, from, until, n)
	out := make([]eventlog.Entry, len(raw))
	for i, r := range raw {
		out[i] = r.Entry()
	}
	return out, err
}

// Raw is Range of entries as the stream had them.
func (a *Archive) Raw(ctx context.Context, partition int, from, until events.ID, n int) ([]eventlog.Raw, error) {
	links, err := a.links(ctx, partition, false)
	if err != nil {
		return nil, err
	}
	if k := len(links); k == 0 || links[k-1].Last.Compare(until) < 0 {
		if links, err = a.links(ctx, partition, true); err != nil {
			return nil, err
		}
	}
	var out []eventlog.Raw
	first := sort.Search(len(links), func(i int) bool { return links[i].Last.Compare(from) > 0 })
	for _, l := range links[first:] {
		if len(out) >= n || l.First.Compare(until) > 0 {
			break
		}
		some, err := a.read(ctx, partition, l, from, until, n-len(out))
		if err != nil {
			return nil, err
		}
		out = append(out, some...)
	}
	return out, nil
}

// read returns entries of one segment.
func (a *Archive) read(ctx context.Context, partition int, l link, from, until events.ID, n int) ([]eventlog.Raw, error) {
	entries, err := a.load(ctx, partition, l)
	if err != nil {
		return nil, err
	}
	i := sort.Search(len(entries.ids), func(i int) bool { return entries.ids[i].Compare(from) > 0 })
	var out []eventlog.Raw
	for ; i < len(entries.ids) && len(out) < n && entries.ids[i].Compare(until) <= 0; i++ {
		r, err := entries.at(i)
		if err != nil {
			return nil, a.damaged(partition, l, l.Lines.Name, fmt.Errorf("entry %s: %w", entries.ids[i], err))
		}
		out = append(out, r)
	}
	return out, nil
}

// damaged says what is wrong with an object of a segment.
func (a *Archive) damaged(partition int, l link, name string, err error) error {
	return &SegmentError{Object: folder(a.prefix, partition) + "/" + name, First: l.First, Last: l.Last, Err: err}
}

// object reads an object of a segment and holds it to what the manifest says.
func (a *Archive) object(ctx context.Context, partition int, l link, f File) ([]byte, error) {
	data, err := a.bucket.get(ctx, folder(a.prefix, partition)+"/"+f.Name, f.Bytes)
	switch {
	case missing(err):
		return nil, a.damaged(partition, l, f.Name, ErrMissing)
	case err != nil:
		return nil, fmt.Errorf("archive %s: read %s: %w", a.name, f.Name, err)
	case int64(len(data)) < f.Bytes:
		return nil, a.damaged(partition, l, f.Name, fmt.Errorf("it is cut short: it has %d bytes of %d", len(data), f.Bytes))
	case int64(len(data)) > f.Bytes:
		return nil, a.damaged(partition, l, f.Name, fmt.Errorf("it has more than its %d bytes", f.Bytes))
	case sum(data) != f.SHA256:
		return nil, a.damaged(partition, l, f.Name, fmt.Errorf("it is damaged: its SHA-256 is %s, not %s", sum(data), f.SHA256))
	}
	return data, nil
}

// load returns the entries of a segment, which it may have kept.
func (a *Archive) load(ctx context.Context, partition int, l link) (*lines, error) {
	if l.err != nil {
		return nil, l.err
	}
	return a.cache.get(cacheKey{partition, l.Number}, func() (*lines, error) { return a.fetch(ctx, partition, l) })
}

// fetch reads the entries of a segment and holds them to its manifest.
func (a *Archive) fetch(ctx context.Context, partition int, l link) (*lines, error) {
	data, err := a.object(ctx, partition, l, l.Lines)
	if err != nil {
		return nil, err
	}
	entries, err := l.judge(data)
	if err != nil {
		return nil, a.damaged(partition, l, l.Lines.Name, err)
	}
	return entries, nil
}

// judge decompresses the entries and holds them to the manifest.
func (m Manifest) judge(data []byte) (*lines, error) {
	data, err := decompress(data, m.Bytes)
	if err != nil {
		return nil, err
	}
	entries, err := parseLines(data)
	if err != nil {
		return nil, err
	}
	n := len(entries.ids)
	switch {
	case int64(n) != m.Count || int64(len(data)) != m.Bytes:
		return nil, fmt.Errorf("it has %d entries in %d bytes, and its manifest says %d in %d", n, len(data), m.Count, m.Bytes)
	case entries.ids[0] != m.First || entries.ids[n-1] != m.Last:
		return nil, fmt.Errorf("it has entries %s to %s, and its manifest says %s to %s", entries.ids[0], entries.ids[n-1], m.First, m.Last)
	}
	return entries, nil
}

// cached is how many segments are kept in memory, each with at most some more than Config.MaxBytes.
const cached = 4

type cacheKey struct{ partition, number int }

// cache keeps the segments that were used last.
type cache struct {
	mu   sync.Mutex
	kept []*slot // the one that was used last is the last
}

type slot struct {
	key     cacheKey
	once    sync.Mutex
	entries *lines // nil until somebody has read it
}

// get returns what is kept, or what read returns: one caller reads, others wait for it.
func (c *cache) get(key cacheKey, read func() (*lines, error)) (*lines, error) {
	c.mu.Lock()
	i := slices.IndexFunc(c.kept, func(s *slot) bool { return s.key == key })
	var s *slot
	if i >= 0 {
		s = c.kept[i]
		c.kept = append(slices.Delete(c.kept, i, i+1), s)
	} else {
		s = &slot{key: key}
		if c.kept = append(c.kept, s); len(c.kept) > cached {
			c.kept = slices.Delete(c.kept, 0, 1)
		}
	}
	c.mu.Unlock()
	s.once.Lock()
	defer s.once.Unlock()
	if s.entries != nil {
		return s.entries, nil
	}
	entries, err := read()
	s.entries = entries
	return entries, err
}
