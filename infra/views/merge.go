package views

import (
	"cmp"
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// position is a place in a listing: newest first, and by falling id among changes of one ms. It is the
// order in which Redis returns a zset from its end, so that all of them can be merged.
type position struct {
	ms int64
	id string
}

// start lies before everything in a listing.
var start = position{ms: events.MaxID.Ms}

// before reports whether a is listed before b.
func (a position) before(b position) bool {
	return cmp.Or(cmp.Compare(b.ms, a.ms), strings.Compare(b.id, a.id)) < 0
}

// cursor is opaque to clients: "<ms> <task id>" in base64url.
func (a position) cursor() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(a.ms, 10) + " " + a.id))
}

func parseCursor(s string) (position, error) {
	if s == "" {
		return start, nil
	}
	bad := &events.FieldError{Field: "cursor", Reason: "is none that this list gave"}
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return position{}, bad
	}
	left, id, _ := strings.Cut(string(data), " ")
	ms, err := strconv.ParseInt(left, 10, 64)
	if err != nil || ms < 0 || events.ValidateName("cursor", id) != nil {
		return position{}, bad
	}
	return position{ms, id}, nil
}

// entry is a task in the index.
type entry struct {
	position
	part eventlog.Partition
}

// stream is one zset of the index, read piece by piece.
type stream struct {
	key   string
	part  eventlog.Partition
	after position   // everything up to here was read
	ahead []position // read and not yet taken
	ended bool
}

// merge reads many streams as one, in order.
type merge struct {
	rdb     redis.UniversalClient
	streams []*stream
}

const (
	firstPiece = 32      // entries read of a stream at a time
	maxPiece   = 1 << 20 // where so many changed in one ms
)

// take returns the next n entries, fewer only at the end.
func (m *merge) take(ctx context.Context, n int) ([]entry, error) {
	var taken []entry
	for len(taken) < n {
		if err := m.fill(ctx, max(firstPiece, n)); err != nil {
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

// fill reads the next piece of every stream that has nothing ahead, in one round trip. Many streams
// get small pieces: most of what is read of them is never taken.
func (m *merge) fill(ctx context.Context, n int) error {
	piece := int64(max(n/max(1, len(m.streams)), firstPiece))
	for {
		var asked []*stream
		for _, s := range m.streams {
			if len(s.ahead) == 0 && !s.ended {
				asked = append(asked, s)
			}
		}
		if len(asked) == 0 {
			return nil
		}
		cmds, err := m.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, s := range asked {
				pipe.ZRevRangeByScoreWithScores(ctx, s.key, &redis.ZRangeBy{
					Min: "-inf", Max: strconv.FormatInt(s.after.ms, 10), Count: piece,
				})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, s := range asked {
			s.feed(cmds[i].(*redis.ZSliceCmd).Val(), piece)
		}
		piece = min(piece*2, maxPiece) // those that got nothing new have more in one ms than a piece
	}
}

// feed takes what was read of a stream: entries from the ms of s.after on, of which those up to
// s.after are known already.
func (s *stream) feed(read []redis.Z, asked int64) {
	for _, z := range read {
		id, _ := z.Member.(string)
		if p := (position{int64(z.Score), id}); s.after.before(p) {
			s.ahead = append(s.ahead, p)
		}
	}
	if int64(len(read)) < asked || asked == maxPiece && len(s.ahead) == 0 {
		s.ended = true
	}
	if n := len(s.ahead); n > 0 {
		s.after = s.ahead[n-1]
	}
}
