package archive

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tasklog/tasklog/events"
)

// Archive is the archive of one prefix. Its methods may be called from many goroutines.
type Archive struct {
	bucket *bucket
	prefix string
	name   string // for people: without a password

	mu     sync.Mutex
	chains map[int]*chain // by partition
	cache  cache
}

// Open opens an archive to read it: a plain path or file:// is a folder, which must be there; other URLs
// are those of the drivers that the program links (s3://, gs://, azblob://). Close it afterwards.
func Open(ctx context.Context, at, prefix string) (*Archive, error) {
	return open(ctx, at, prefix, false)
}

// Create is Open for a writer: it makes the folder when there is none, for its owner alone.
func Create(ctx context.Context, at, prefix string) (*Archive, error) {
	return open(ctx, at, prefix, true)
}

func open(ctx context.Context, at, prefix string, create bool) (*Archive, error) {
	if err := events.ValidateName("prefix", prefix); err != nil {
		return nil, err
	}
	b, err := openBucket(ctx, at, create)
	if err != nil {
		return nil, err
	}
	name := at
	if u, err := url.Parse(at); err == nil {
		name = u.Redacted()
	}
	return &Archive{bucket: b, prefix: prefix, name: name, chains: map[int]*chain{}}, nil
}

// Close releases what the archive holds.
func (a *Archive) Close() error { return a.bucket.Close() }

// String returns the URL that it was opened by.
func (a *Archive) String() string { return a.name }

// Partitions returns the partitions that have something in the archive, in order.
func (a *Archive) Partitions(ctx context.Context) ([]int, error) {
	names, err := a.bucket.folders(ctx, escaped(a.prefix))
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", a.name, err)
	}
	var found []int
	for _, name := range names {
		digits, ok := strings.CutPrefix(name, "p")
		if n, err := strconv.Atoi(digits); ok && err == nil && n >= 0 {
			found = append(found, n)
		}
	}
	slices.Sort(found)
	return found, nil
}

// SegmentError says what is wrong with a segment, and where that is.
type SegmentError struct {
	Object      string    // what is damaged or missing
	First, Last events.ID // which entries that concerns; Last is events.MaxID when nobody knows
	Err         error
}

// Error names the object and the entries.
func (e *SegmentError) Error() string {
	last := e.Last.String()
	if e.Last == events.MaxID {
		last = "the end"
	}
	return fmt.Sprintf("archive: %s (entries %s to %s): %v: restore it from a copy of the archive", e.Object, e.First, last, e.Err)
}

// Unwrap returns what is wrong.
func (e *SegmentError) Unwrap() error { return e.Err }

// link is a segment in the chain of its partition.
type link struct {
	Manifest
	sum string // SHA-256 of the manifest
	err error  // a *SegmentError: then First and Last are those that it can have, and else nothing is known
}

// chain is what is known of the segments of a partition. Segment n is links[n-1].
type chain struct {
	mu    sync.Mutex
	links []link
}

func (a *Archive) chainOf(partition int) *chain {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.chains[partition]
	if c == nil {
		c = &chain{}
		a.chains[partition] = c
	}
	return c
}

// links returns the segments of a partition. What was read before and was right is not read again, and with
// fresh the folder is looked at again for more.
func (a *Archive) links(ctx context.Context, partition int, fresh bool) ([]link, error) {
	c := a.chainOf(partition)
	c.mu.Lock()
	defer c.mu.Unlock()
	damaged := func(l link) bool { return l.err != nil }
	if len(c.links) > 0 && !fresh && !slices.ContainsFunc(c.links, damaged) {
		return c.links, nil
	}
	names, err := a.bucket.list(ctx, folder(a.prefix, partition))
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", a.name, err)
	}
	last := 0
	for _, name := range names {
		if n, ok := numberOf(name); ok {
			last = max(last, n)
		}
	}
	links := make([]link, 0, last)
	for n := 1; n <= last; n++ {
		if n <= len(c.links) && c.links[n-1].err == nil {
			links = append(links, c.links[n-1])
			continue
		}
		before := link{}
		if n > 1 {
			before = links[n-2]
		}
		l, err := a.link(ctx, partition, n, before)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	for n := range links { // where nothing else is known, a segment reaches up to its neighbours
		if links[n].err == nil {
			continue
		}
		e := &SegmentError{Object: folder(a.prefix, partition) + "/" + manifestName(n+1), Last: events.MaxID, Err: links[n].err}
		if n > 0 {
			e.First = links[n-1].Last.Next()
		}
		for _, next := range links[n+1:] {
			if next.err == nil {
				e.Last = next.After
				break
			}
		}
		links[n].First, links[n].Last, links[n].err = e.First, e.Last, e
	}
	c.links = links
	return links, nil
}

// link reads a manifest. What is wrong with it is in the link; an error is one of the bucket.
func (a *Archive) link(ctx context.Context, partition, n int, before link) (link, error) {
	name := folder(a.prefix, partition) + "/" + manifestName(n)
	data, err := a.bucket.get(ctx, name, maxManifest)
	if missing(err) {
		return link{err: ErrMissing}, nil
	}
	if err != nil {
		return link{}, fmt.Errorf("archive %s: read %s: %w", a.name, name, err)
	}
	l := link{sum: sum(data)}
	if l.Manifest, l.err = parseManifest(data); l.err == nil {
		l.err = l.follows(a.prefix, partition, n, before)
	}
	return l, nil
}

// numberOf returns the number in the name of a manifest.
func numberOf(name string) (int, bool) {
	if len(name) != len("00000000.json") || filepath.Ext(name) != ".json" {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(name, ".json"))
	return n, err == nil && n > 0
}
