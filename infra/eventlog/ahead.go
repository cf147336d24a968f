package eventlog

import (
	"context"
	"iter"

	"github.com/tasklog/tasklog/events"
)

const aheadPages = 4 // pages that were read and are not used yet

// ReadAhead yields pages of entries that follow an id, and has the next ones read while one is used. read returns
// at most n entries after an id; a page with fewer is the last.
// An error, such as the cause of a cancelled ctx, ends the sequence.
func ReadAhead(ctx context.Context, after events.ID, n int, read func(ctx context.Context, after events.ID) ([]Entry, error)) iter.Seq2[[]Entry, error] {
	type page struct {
		entries []Entry
		err     error
	}
	return func(yield func([]Entry, error) bool) {
		reading, stop := context.WithCancel(ctx)
		pages := make(chan page, aheadPages)
		go func() {
			defer close(pages)
			for after := after; ; {
				var p page
				p.entries, p.err = read(reading, after)
				select {
				case pages <- p:
				case <-reading.Done():
					return
				}
				if p.err != nil || len(p.entries) < n {
					return
				}
				after = p.entries[len(p.entries)-1].ID
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
