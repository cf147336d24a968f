package eventlog

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tasklog/tasklog/events"
)

// What a page of Pages has: entries of the first one, of which nothing is known yet, and bytes.
const (
	firstPage = 16
	pageBytes = 4 << 20
	longBytes = 64 << 20 // of a page in which each entry is as long as the longest one that was met
)

// Pages reads a log in pages, a few MiB each, whether its entries are short or long: a reply of a GiB would stop
// Redis for everybody.
//
// Redis does not tell how long entries are before it sends them, so a page goes by what was read before it. The first
// one has few entries; the next ones have more, while these are short, and at once less when they are not: as many as had
// Bytes in the page before, and never more than would have 64 MiB if each was as long as the longest entry that was
// met in this Log, by whomever. What is left is the page in which a Log meets long entries for the first time: that
// has at most as many of them as a page has entries.
//
// It is for one goroutine at a time.
type Pages struct {
	// Bytes is about how long a page is. Zero means 4 MiB.
	Bytes int

	log  *Log
	most int // entries
	next int // entries of the next page
}

// Pages returns what reads the log in pages of at most so many entries.
func (l *Log) Pages(most int) *Pages { return &Pages{log: l, most: most, next: firstPage} }

// Range returns the next page of a partition after an id and not after until, oldest first, and whether there may be more.
func (g *Pages) Range(ctx context.Context, p Partition, after, until events.ID) (page []Entry, more bool, err error) {
	return paged(g, func(n int) ([]Entry, error) { return g.log.Range(ctx, p, after, until, n) })
}

// RangeBack returns the next page of the stream of a partition before an id, newest first, and whether there may be more.
func (g *Pages) RangeBack(ctx context.Context, p Partition, before events.ID) (page []Entry, more bool, err error) {
	return paged(g, func(n int) ([]Entry, error) { return g.log.RangeBack(ctx, p, before, n) })
}

// Follow is Range to the end of the log. While there is nothing it waits, as Log.Follow does.
func (g *Pages) Follow(ctx context.Context, p Partition, after events.ID, block time.Duration) (page []Entry, more bool, err error) {
	return paged(g, func(n int) ([]Entry, error) { return g.log.Follow(ctx, p, after, n, block) })
}

// Raw is Range of what is in the stream, as it is.
func (g *Pages) Raw(ctx context.Context, p Partition, after, until events.ID) (page []Raw, more bool, err error) {
	return paged(g, func(n int) ([]Raw, error) { return g.log.Raw(ctx, p, after, until, n) })
}

// Verbatim is Range of entries as they are.
func (g *Pages) Verbatim(ctx context.Context, p Partition, after, until events.ID) (page []Raw, more bool, err error) {
	return paged(g, func(n int) ([]Raw, error) { return g.log.Verbatim(ctx, p, after, until, n) })
}

// paged reads a page and goes by it.
func paged[E read](g *Pages, get func(n int) ([]E, error)) (page []E, more bool, err error) {
	n := max(1, min(g.next, g.most, longBytes/max(1, g.log.longest.get())))
	page, err = get(n)
	if err != nil { // it may have been more than the connection carries in the time that an answer has
		g.next = max(1, n/4)
		return nil, false, err
	}
	if len(page) == 0 {
		return nil, false, nil
	}
	bytes, longest := 0, 0
	for _, e := range page {
		bytes += e.Size()
		longest = max(longest, e.Size())
	}
	g.log.longest.raise(longest)
	about := g.Bytes
	if about == 0 {
		about = pageBytes
	}
	g.next = max(1, min(2*n, len(page)*about/max(1, bytes)))
	return page, len(page) == n, nil
}

// read is an entry in one of the two forms in which it is read.
type read interface {
	Entry | Raw
	place() events.ID
	Size() int // bytes, or about so many
}

// record is the greatest number that it was told.
type record struct{ n atomic.Int64 }

func (r *record) get() int { return int(r.n.Load()) }

func (r *record) raise(to int) {
	for n := r.n.Load(); int64(to) > n && !r.n.CompareAndSwap(n, int64(to)); n = r.n.Load() {
		continue
	}
}
