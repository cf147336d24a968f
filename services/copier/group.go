package copier

import (
	"context"
	"errors"
	"sync"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// group is the partitions of the source that are merged, and those of the copy that they are merged into.
type group struct {
	*Copy
	sources []*source
	targets map[int]*target // by partition
}

// feeds reports whether a partition of the source is merged into one of the copy.
func (c *Copy) feeds(s, t eventlog.Partition) bool {
	return (s.N-t.N)%gcd(len(c.source.Partitions()), len(c.target.Partitions())) == 0
}

// group returns group i of n.
func (c *Copy) group(i, n int) *group {
	g := &group{Copy: c, targets: map[int]*target{}}
	for _, s := range c.sources {
		if s.part.N%n == i {
			g.sources = append(g.sources, s)
		}
	}
	for _, t := range c.targets {
		if t.part.N%n == i {
			g.targets[t.part.N] = t
		}
	}
	return g
}

// maxRound is how many entries are brought into the copy and compared at a time, at the most. Tests make it small.
var maxRound = 4000

// run copies the sources up to an id.
func (g *group) run(ctx context.Context, until events.ID, memory int) error {
	for _, s := range g.sources {
		stop := s.read(ctx, g.source, until, memory/12/len(g.sources)) // of which there are six pages
		defer stop()
	}
	entries, bytes := 0, 0
	for {
		s, err := earliest(g.sources)
		if err != nil {
			return err
		}
		if s == nil {
			break
		}
		e := s.take()
		g.spread(s, e)
		entries++
		if bytes += e.Size(); entries >= maxRound || bytes >= memory/4 {
			if err := g.flush(ctx, entries); err != nil {
				return err
			}
			entries, bytes = 0, 0
		}
	}
	if err := ctx.Err(); err != nil { // the readers may have ended because of it
		return context.Cause(ctx)
	}
	if err := g.flush(ctx, entries); err != nil {
		return err
	}
	for _, t := range g.targets {
		if err := t.note(ctx); err != nil {
			return err
		}
	}
	return nil
}

// spread gives an entry to the partitions of the copy that are to have it.
func (g *group) spread(s *source, e eventlog.Raw) {
	if queue, paused, ok := queueOf(e); ok {
		if s.turn(g.sources, queue, paused) {
			for _, t := range g.targets {
				t.add(s, e)
			}
		}
		return
	}
	n := s.part.N % len(g.Copy.targets)
	if task := e.Field(events.FieldTask); task != "" && g.source.Of(task).N == s.part.N {
		n = g.target.Of(task).N
	}
	g.targets[n].add(s, e)
}

// flush brings what was spread into the copy.
func (g *group) flush(ctx context.Context, entries int) error {
	var wg sync.WaitGroup
	var errs []error
	for _, t := range g.targets {
		wg.Go(func() {
			begin, moved := t.cp.Entries, t.moved
			t.moved = 0
			err := t.flush(ctx, g.sources)
			g.mu.Lock()
			defer g.mu.Unlock()
			g.sum.Compared += t.cp.Entries - begin
			g.sum.Copied += max(0, t.cp.Entries-max(t.have, begin))
			g.sum.Moved += moved
			errs = append(errs, err)
		})
	}
	wg.Wait()
	g.progress(int64(entries))
	return errors.Join(errs...)
}
