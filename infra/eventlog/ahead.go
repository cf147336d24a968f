package eventlog

import (
	"context"
	"iter"

	"github.com/tasklog/tasklog/events"
)

const aheadPages = 4 // pages that were read and are not used yet

// ReadAhead yields pages of at most so many entries of a partition, after an id and not after until, and has the next
// ones read while one is used.
func (l *Log) ReadAhead(ctx context.Context, p Partition, after, until events.ID, most int) iter.Seq2[[]Entry, error] {
	pages := l.Pages(most)
	return ReadAhead(ctx, after, func(ctx context.Context, after events.ID) ([]Entry, bool, error) {
		return pages.Range(ctx, p, after, until)
	})
}

// ReadAhead yields pages of entries that follow an id, and has the next ones read while one is used. next returns
// the page after an id, as Pages do, and whether there may be more.
// An error, such as the cause of a cancelled ctx, ends the sequence.
//
// Six pages are in memory at the most: four that wait, the one that is read and the one that is used.
func ReadAhead[E read](ctx context.Context, after events.ID, next func(ctx context.Context, after events.ID) (page []E, more bool, err error)) iter.Seq2[[]E, error] {
	type page struct {
		entries []E
		err     error
	}
	return func(yield func([]E, error) bool) {
		reading, stop := context.WithCancel(ctx)
		pages := make(chan page, aheadPages)
		go func() {
			defer close(pages)
			for after := after; ; {
				var p page
				var more bool
				p.entries, more, p.err = next(reading, after)
				select {
				case pages <- p:
				case <-reading.Done():
					return
				}
				if p.err != nil || !more {
					return
				}
				after = p.entries[len(p.entries)-1].place()
			}
		}()
		defer func() {
			stop()
			for range pages { // the reader ends when it is heard
				continue
			}
		}()
		for p := range pages {
			if !yield(p.entries, p.err) || p.err != nil {
				return
			}
		}
		if ctx.Err() != nil { // the reader may have ended because of it
			yield(nil, context.Cause(ctx))
		}
	}
}
