package views

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

//go:embed newest.lua
var newestSource string

var newestScript = redis.NewScript(newestSource)

// position is a place in a listing: newest first, and by falling id among changes of one ms. It is the
// order in which Redis returns a zset from its end, so that all of them can be merged.
type position struct {
	ms int64
	id string
}

// start lies before everything in a listing.
var start = position{ms: events.MaxID.Ms}

// compare orders positions as they are listed.
func compare(a, b position) int {
	return cmp.Or(cmp.Compare(b.ms, a.ms), strings.Compare(b.id, a.id))
}

// before reports whether a is listed before b.
func (a position) before(b position) bool { return compare(a, b) < 0 }

// String is "<ms> <task id>".
func (a position) String() string { return strconv.FormatInt(a.ms, 10) + " " + a.id }

func parsePosition(s string) (position, error) {
	left, id, _ := strings.Cut(s, " ")
	ms, err := strconv.ParseInt(left, 10, 64)
	return position{ms, id}, err
}

// cursor is opaque to clients.
func (a position) cursor() string { return base64.RawURLEncoding.EncodeToString([]byte(a.String())) }

func parseCursor(s string) (position, error) {
	if s == "" {
		return start, nil
	}
	bad := &events.FieldError{Field: "cursor", Reason: "is none that this list gave"}
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return position{}, bad
	}
	p, err := parsePosition(string(data))
	if err != nil || p.ms < 0 || events.ValidateName("cursor", p.id) != nil {
		return position{}, bad
	}
	return p, nil
}

// entry is a task in the index.
type entry struct {
	position
	part eventlog.Partition
}

// stream is one place of the index, read piece by piece.
type stream struct {
	key   string
	list  bool // it is a list, else a zset
	part  eventlog.Partition
	after position   // everything up to here was read
	ahead []position // read and not yet taken
	piece int64      // entries to read next
	ended bool
}

// merge reads many streams as one, in order.
type merge struct {
	rdb     redis.UniversalClient
	streams []*stream
}

const (
	firstPiece = 4       // entries read of a stream at first
	maxPiece   = 1 << 20 // where so many changed in one ms
)

// take returns the next n entries, fewer only at the end.
func (m *merge) take(ctx context.Context, n int) ([]entry, error) {
	var taken []entry
	for len(taken) < n {
		if err := m.fill(ctx, n); err != nil {
			return nil, err
		}
		best := -1
		for i, s := range m.streams {
			if len(s.ahead) > 0 && (best < 0 || s.ahead[0].before(m.streams[best].ahead[0])) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		s := m.streams[best]
		taken = append(taken, entry{s.ahead[0], s.part})
		s.ahead = s.ahead[1:]
	}
	return taken, nil
}

// fill reads the next piece of every stream that has nothing ahead, in one round trip. Many streams get small
// pieces at first: most of what is read of them is never taken. One that has more of what is taken gets larger ones.
func (m *merge) fill(ctx context.Context, n int) error {
	for {
		var asked []*stream
		for _, s := range m.streams {
			if len(s.ahead) == 0 && !s.ended {
				s.piece = min(max(2*s.piece, int64(n/len(m.streams)), firstPiece), maxPiece)
				asked = append(asked, s)
			}
		}
		if len(asked) == 0 {
			return nil
		}
		cmds, err := m.read(ctx, asked, newestScript.EvalSha)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			cmds, err = m.read(ctx, asked, newestScript.Eval)
		}
		if err != nil {
			return err
		}
		for i, s := range asked {
			read, err := positions(cmds[i])
			if err != nil {
				return fmt.Errorf("read %s: %w", s.key, err)
			}
			s.feed(read, int(s.piece)) // one that got nothing new has more in one ms than a piece
		}
	}
}

// read asks for the next piece of some streams. eval is how it calls the script: by its source, where Redis does
// not know it.
func (m *merge) read(ctx context.Context, asked []*stream, eval func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) ([]redis.Cmder, error) {
	return m.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, s := range asked {
			ms := strconv.FormatInt(s.after.ms, 10)
			switch {
			case s.list && s.piece == firstPiece: // most listings are near the end, and this costs a tenth
				pipe.LRange(ctx, s.key, -s.piece, -1)
			case s.list:
				eval(ctx, pipe, []string{s.key}, ms, s.piece)
			default:
				pipe.ZRevRangeByScoreWithScores(ctx, s.key, &redis.ZRangeBy{Min: "-inf", Max: ms, Count: s.piece})
			}
		}
		return nil
	})
}

// positions returns what was read of a stream, newest first.
func positions(cmd redis.Cmder) ([]position, error) {
	var read []position
	switch cmd := cmd.(type) {
	case *redis.ZSliceCmd:
		for _, z := range cmd.Val() {
			id, _ := z.Member.(string)
			read = append(read, position{int64(z.Score), id})
		}
	case *redis.StringSliceCmd:
		return listed(cmd.Result())
	case *redis.Cmd:
		return listed(cmd.StringSlice())
	}
	return read, nil
}

// listed returns what was read of a list, newest first.
func listed(list []string, err error) (read []position, _ error) {
	for _, s := range slices.Backward(list) {
		p, err := parsePosition(s)
		if err != nil {
			return nil, err
		}
		read = append(read, p)
	}
	return read, err
}

// feed takes what was read of a stream: entries from the ms of s.after on, or from one before it, of which those up
// to s.after are known already. asked is how many were asked for: fewer are all there are.
func (s *stream) feed(read []position, asked int) {
	s.ended = len(read) < asked || asked >= maxPiece
	if s.list {
		if !s.ended { // the last ms may not be complete, and a list has another order within one
			oldest := read[len(read)-1].ms
			read = slices.DeleteFunc(read, func(p position) bool { return p.ms == oldest })
		}
		slices.SortFunc(read, compare)
	}
	for _, p := range read {
		if s.after.before(p) {
			s.ahead = append(s.ahead, p)
		}
	}
	if n := len(s.ahead); n > 0 {
		s.after = s.ahead[n-1]
	}
}
