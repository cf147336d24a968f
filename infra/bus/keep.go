package bus

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
)

const (
	ackBatch = 200 // entries of one command
	ackPause = 200 * time.Millisecond
	lastAcks = 3 // tries of an acknowledgement once the subscription has ended
)

// keep acknowledges what was answered and keeps the rest, until nothing is left to answer.
func (s *subscription) keep() {
	tick := time.NewTicker(s.cfg.ClaimIdle / 3)
	defer tick.Stop()
	for {
		select {
		case id, more := <-s.answered:
			if !more {
				return
			}
			s.ack(s.gather(id))
		case <-tick.C:
			s.extend()
		}
	}
}

// gather returns the ids that wait to be acknowledged, the first one included.
func (s *subscription) gather(first string) []string {
	ids := []string{first}
	for len(ids) < ackBatch {
		select {
		case id, more := <-s.answered:
			if !more {
				return ids
			}
			ids = append(ids, id)
		default:
			return ids
		}
	}
	return ids
}

// ack acknowledges entries and frees their slots. It repeats itself, which does no harm, for as long
// as Redis is away: until then the entries count as in flight, so that nobody handles them again.
func (s *subscription) ack(ids []string) {
	ctx := context.WithoutCancel(s.reading)
	for try := 1; ; try++ {
		err := s.cfg.Client.XAck(ctx, s.topic, s.cfg.Group, ids...).Err()
		if err == nil {
			break
		}
		if !eventlog.Unavailable(err) || s.reading.Err() != nil && try >= lastAcks {
			s.log.LogAttrs(ctx, slog.LevelError, "handled entries could not be acknowledged and will be delivered again",
				slog.String("stream", s.topic), slog.Any("entries", ids), slog.Any("error", err))
			break
		}
		time.Sleep(ackPause)
	}
	s.mu.Lock()
	for _, id := range ids {
		delete(s.held, id)
	}
	s.mu.Unlock()
	s.release(len(ids))
}

// extend makes the entries in flight count as touched just now, so that nobody claims them from
// handlers that take long. A failure is mended by the next call: there are two before an entry is idle.
func (s *subscription) extend() { s.touch(s.inFlight(), 0) }

// giveBack makes entries that were not answered count as idle, so that another subscriber takes them
// when it next looks. Should it fail, they become idle by themselves.
func (s *subscription) giveBack() { s.touch(s.inFlight(), s.cfg.ClaimIdle) }

func (s *subscription) inFlight() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.held))
}

// touch sets for how long entries of ours count as idle. Entries that were acknowledged meanwhile
// stay so. JUSTID: this is no delivery.
func (s *subscription) touch(ids []string, idle time.Duration) {
	ctx := context.WithoutCancel(s.reading)
	for len(ids) > 0 {
		n := min(len(ids), ackBatch)
		args := []any{"XCLAIM", s.topic, s.cfg.Group, s.cfg.Consumer, 0}
		for _, id := range ids[:n] {
			args = append(args, id)
		}
		ids = ids[n:]
		args = append(args, "IDLE", idle.Milliseconds(), "JUSTID")
		if err := s.cfg.Client.Do(ctx, args...).Err(); err != nil {
			s.log.LogAttrs(ctx, slog.LevelWarn, "entries in flight could not be touched", slog.String("stream", s.topic),
				slog.Int("entries", n), slog.Any("error", err))
		}
	}
}
