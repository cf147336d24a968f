package past_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/projections/simulation"
)

func TestALargeSnapshotIsKeptInPiecesThatHoldRedisShortly(t *testing.T) {
	log := testredis.Open(t, testredis.Start(t).URL(), 1)
	p, s := log.Partitions()[0], past.New(log)
	dice := rand.New(rand.NewPCG(7, 7))
	var list []events.Event
	for n := range 60_000 { // names that cannot be compressed
		list = append(list, events.Event{
			ID: events.ID{Ms: int64(n + 1)}, Task: fmt.Sprintf("%016x%016x", dice.Uint64(), dice.Uint64()),
			Data: events.TaskRequested{Label: events.Label{Queue: "q", Name: "n"}},
		})
	}
	write(t, log, p, list[len(list)-1:])
	at, view := list[len(list)-1].ID, fold(list).Encode()
	size, err := s.Keep(t.Context(), p, at, view)
	if err != nil {
		t.Fatal(err)
	}
	rdb, key, sum := log.Conn().View, p.Snapshot(at), 0
	chunks := rdb.HLen(t.Context(), key).Val() - 2
	for i := range int(chunks) {
		part, err := rdb.HGet(t.Context(), key, strconv.Itoa(i)).Bytes()
		if err != nil || len(part) > 512<<10 {
			t.Errorf("chunk %d has %d bytes, %v", i, len(part), err)
		}
		sum += len(part)
	}
	if chunks < 2 || sum != size {
		t.Errorf("%d chunks of together %d bytes, and %d are told", chunks, sum, size)
	}
	if ttl := rdb.PTTL(t.Context(), key).Val(); ttl != -1 {
		t.Errorf("it ends in %s", ttl)
	}
	m, err := s.Nearest(t.Context(), p, events.MaxID)
	if err != nil || !bytes.Equal(m.Encode(), view) {
		t.Errorf("%d tasks are read back, %v", m.Len(), err)
	}
}

func TestWhatIsNoSnapshotIsPassedOver(t *testing.T) {
	for name, c := range map[string]struct {
		spoil []any // a command, in which KEY is the newest snapshot and NAMES what names them
		swept int
	}{
		"of another version": {[]any{"HSET", "KEY", "version", "1"}, 1},
		"without a version":  {[]any{"HDEL", "KEY", "version"}, 1},
		"gone":               {[]any{"DEL", "KEY"}, 1},
		"without a chunk":    {[]any{"HDEL", "KEY", "0"}, 0},
		"damaged":            {[]any{"HSET", "KEY", "0", "no such thing"}, 0},
		"no id":              {[]any{"ZADD", "NAMES", 1 << 50, "newest"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			log := testredis.Open(t, testredis.Embedded(t), 1)
			p, s := log.Partitions()[0], past.New(log)
			list := history(t, log, p, simulation.Config{Seed: 8, Events: 300})
			keep(t, log, p, list[:100])
			at := keep(t, log, p, list[:200])
			args := c.spoil
			args[1] = map[any]string{"KEY": p.Snapshot(at), "NAMES": p.Past}[args[1]]
			if err := log.Conn().View.Do(t.Context(), args...).Err(); err != nil {
				t.Fatal(err)
			}
			m, err := s.Moment(t.Context(), p, list[249].ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, m, list[:250])
			swept, err := s.Sweep(t.Context(), p)
			if err != nil || swept != c.swept {
				t.Errorf("%d swept, %v; want %d", swept, err, c.swept)
			}
			left, err := s.List(t.Context(), p, events.MaxID, 10)
			if err != nil || len(left) != 2-c.swept {
				t.Errorf("%v are left, %v", left, err)
			}
		})
	}
}

func TestWithoutAnySnapshotTheLogAnswers(t *testing.T) {
	log := testredis.Open(t, testredis.Embedded(t), 1)
	p, s := log.Partitions()[0], past.New(log)
	list := history(t, log, p, simulation.Config{Seed: 9, Events: 300})
	at := keep(t, log, p, list[:100])
	if err := log.Conn().View.Del(t.Context(), p.Past, p.Snapshot(at)).Err(); err != nil {
		t.Fatal(err)
	}
	m, err := s.Moment(t.Context(), p, list[249].ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, m, list[:250])
	if m, err = s.Moment(t.Context(), p, list[0].ID.Prev()); err != nil || m.Len() != 0 || !m.After.IsZero() {
		t.Errorf("before the log there is %+v, %v", m, err)
	}
}

func TestASnapshotOfAnEntryThatTheLogDoesNotHaveIsNotKept(t *testing.T) {
	testredis.Each(t, func(t *testing.T, url string) {
		log := testredis.Open(t, url, 1)
		p, s := log.Partitions()[0], past.New(log)
		list := history(t, log, p, simulation.Config{Seed: 10, Events: 100})
		for _, at := range []events.ID{list[99].ID.Next(), list[50].ID.Prev(), {Ms: 1}} {
			if _, err := s.Keep(t.Context(), p, at, fold(list).Encode()); !errors.Is(err, past.ErrForeign) {
				t.Errorf("%s: %v", at, err)
			}
			if ttl := log.Conn().View.PTTL(t.Context(), p.Snapshot(at)).Val(); ttl <= 0 || ttl > time.Hour {
				t.Errorf("what was written of it ends in %s", ttl)
			}
		}
		if left, err := s.List(t.Context(), p, events.MaxID, 10); err != nil || len(left) != 0 {
			t.Errorf("%v, %v", left, err)
		}
		trim(t, log, p, list[49].ID)
		if _, err := s.Keep(t.Context(), p, list[49].ID, fold(list[:50]).Encode()); err != nil {
			t.Errorf("of an entry that was trimmed: %v", err)
		}
	})
}

func TestSnapshotsOfOneMillisecondAreInTheOrderOfTheirEntries(t *testing.T) {
	log := testredis.Open(t, testredis.Embedded(t), 1)
	p, s := log.Partitions()[0], past.New(log)
	var list []events.Event
	for seq := range uint64(12) {
		list = append(list, events.Event{ID: events.ID{Ms: 5, Seq: seq}, Task: fmt.Sprint(seq), Data: events.TaskRequested{Label: events.Label{Queue: "q"}}})
	}
	write(t, log, p, list)
	for n := range list {
		keep(t, log, p, list[:n+1])
	}
	for n := range list {
		m, err := s.Nearest(t.Context(), p, list[n].ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, m, list[:n+1])
	}
}
