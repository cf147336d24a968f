package eventlog

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// What one call of a grouped decision takes at the most: items, and bytes of their arguments, unless
// the first one alone has more.
const (
	maxGroup      = 128
	maxGroupBytes = 64 << 10
)

// overlap is how many items must wait for a second call of a group that overlaps to begin while one is under way.
const overlap = 16

// groups are those of one script, by what their items share. A group is there as long as somebody asks.
type groups struct {
	mu  sync.Mutex
	all map[string]*group
}

// A group takes one decision for all who ask at the same moment. What is asked while a call is under
// way goes with the next one; so there is nothing to wait for when little is going on, and the more is
// going on the less each item costs.
//
// The script gets the shared keys, then the items' first keys, then their second ones; the shared
// arguments, then those of one item after the other. It answers with a string of lines for each item.
type group struct {
	log    *Log
	script *redis.Script
	keys   []string
	args   []any

	// Whether a second call may be under way: Redis decides for some while others are heard and asked for. That helps
	// callers that do nothing else, makes calls smaller, and what was asked first may be decided last.
	overlaps bool

	// Under the mutex of groups.
	waiting []*item
	running int // goroutines in run
}

// item is what one caller asks for.
type item struct {
	left  func() error // not nil when the caller has gone
	keys  []string
	args  []string
	reply reply
	err   error
	done  chan struct{}
}

// decide asks for one item in the group of a name, made by create where there is none, and returns its
// answer. When ctx ends first, the error says so, and what was asked may have happened.
func (g *groups) decide(ctx context.Context, name string, create func() *group, keys []string, args ...string) (reply, error) {
	it := newItem(ctx, keys, args)
	g.put(name, create, it)
	return it.wait(ctx)
}

func newItem(ctx context.Context, keys, args []string) *item {
	return &item{left: ctx.Err, keys: keys, args: args, done: make(chan struct{})}
}

// put asks for items, one after the other, in the group of a name, made by create where there is none.
func (g *groups) put(name string, create func() *group, items ...*item) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all == nil {
		g.all = map[string]*group{}
	}
	to := g.all[name]
	if to == nil {
		to = create()
		g.all[name] = to
	}
	to.waiting = append(to.waiting, items...)
	if to.running == 0 || to.running == 1 && to.overlaps && len(to.waiting) >= overlap {
		to.running++
		go g.run(name, to)
	}
}

// wait returns the answer to an item that was asked for, or why ctx ended before there was one.
func (it *item) wait(ctx context.Context) (reply, error) {
	select {
	case <-it.done:
		return it.reply, it.err
	case <-ctx.Done():
	}
	select {
	case <-it.done: // it came first
		return it.reply, it.err
	default:
		return nil, errors.Join(ctx.Err(), context.Cause(ctx))
	}
}

// run calls the script of a group until nobody waits.
func (g *groups) run(name string, of *group) {
	for batch := g.next(name, of, nil); len(batch) > 0; {
		err := of.call(batch)
		following := g.next(name, of, err) // before anybody is told, and asks again: that is not answered by this error
		for _, it := range batch {
			close(it.done)
		}
		batch = following
	}
}

// next takes the items of the next call; a group that has none is forgotten. Where Redis did not answer
// the last call, those who wait get its error, too: else they would wait as long, one call after the other.
func (g *groups) next(name string, of *group, last error) (batch []*item) {
	g.mu.Lock()
	defer g.mu.Unlock()
	bytes := 0
	for len(of.waiting) > 0 && len(batch) < maxGroup {
		it := of.waiting[0]
		if err := it.left(); err != nil || Unavailable(last) {
			it.err = errors.Join(last, err)
			close(it.done)
		} else {
			for _, arg := range it.args {
				bytes += len(arg)
			}
			if len(batch) > 0 && bytes > maxGroupBytes {
				break
			}
			batch = append(batch, it)
		}
		of.waiting[0] = nil
		of.waiting = of.waiting[1:]
	}
	if len(batch) == 0 {
		if of.running--; of.running == 0 {
			delete(g.all, name)
		}
	}
	return batch
}

// call runs the script for a batch, again while Redis does not answer and somebody waits for it, and
// gives each item its answer.
func (g *group) call(batch []*item) error {
	keys := make([]string, 0, len(g.keys)+len(batch)*len(batch[0].keys))
	keys = append(keys, g.keys...)
	for column := range batch[0].keys {
		for _, it := range batch {
			keys = append(keys, it.keys[column])
		}
	}
	args := make([]any, 0, len(g.args)+len(batch)*len(batch[0].args))
	args = append(args, g.args...)
	for _, it := range batch {
		for _, arg := range it.args {
			args = append(args, arg)
		}
	}
	var answers reply
	var err error
	for try := 0; ; try++ {
		answers, err = ask(context.Background(), g.log.conn.Batch, g.script, keys, args)
		if !again(err, try) || !slices.ContainsFunc(batch, func(it *item) bool { return it.left() == nil }) {
			break
		}
		time.Sleep(repeats[try])
	}
	if err == nil && len(answers) != len(batch) {
		err = errors.New("the script did not answer every item")
	}
	for i, it := range batch {
		if it.err = err; err != nil {
			continue
		}
		it.reply = strings.Split(answers[i], "\n")
		if it.reply[0] == "error" {
			it.reply, it.err = nil, itemError(strings.Join(it.reply[1:], "\n"))
		}
	}
	return err
}

// itemError is what Redis refused for one item of a group.
type itemError string

// Error is what Redis said.
func (e itemError) Error() string { return string(e) }

// RedisError makes it an error of Redis', as go-redis' own are.
func (itemError) RedisError() {}
