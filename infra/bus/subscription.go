package bus

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/pause"
)

// subscription delivers one stream.
//
//	read    takes slots, reads that many entries at the most, delivers them in order
//	settle  waits for the answer to one message; one for each message in flight
//	keep    acknowledges what was answered, and keeps what is in flight from being claimed
//
// Invariant: len(held) <= entries in flight <= slots taken <= MaxInFlight.
type subscription struct {
	*Subscriber
	topic string
	out   chan *message.Message

	reading  context.Context //nolint:containedctx // the subscription's life
	stop     context.CancelFunc
	messages context.Context //nolint:containedctx // parent of the messages' contexts: ends a grace later
	cut      context.CancelFunc

	slots    chan struct{} // one element for each slot taken
	answered chan string   // entry ids to acknowledge; its capacity is that of slots, so that nobody waits
	settling sync.WaitGroup

	cursor  string    // where the next look for idle entries begins
	claimed time.Time // when the last look through all of them ended

	mu   sync.Mutex
	held map[string]bool // the entries in flight; what is left at the end is given back
}

func newSubscription(ctx context.Context, s *Subscriber, topic string) *subscription {
	sub := &subscription{
		Subscriber: s, topic: topic, out: make(chan *message.Message),
		slots: make(chan struct{}, s.cfg.MaxInFlight), answered: make(chan string, s.cfg.MaxInFlight),
		cursor: "0-0", held: map[string]bool{},
	}
	sub.reading, sub.stop = context.WithCancel(ctx)
	sub.messages, sub.cut = context.WithCancel(context.WithoutCancel(ctx))
	return sub
}

func (s *subscription) run() {
	defer close(s.out)
	var around sync.WaitGroup
	settled, kept := make(chan struct{}), make(chan struct{})
	around.Go(func() { s.end(settled) })
	around.Go(func() { defer close(kept); s.keep() })
	s.read()
	s.settling.Wait()
	close(settled)
	close(s.answered)
	<-kept
	s.giveBack()
	around.Wait()
}

// end waits for the end of the subscription and, a grace later, ends the contexts of the messages.
func (s *subscription) end(settled <-chan struct{}) {
	defer s.cut()
	select {
	case <-s.closing:
	case <-s.reading.Done():
	}
	s.stop()
	grace := time.NewTimer(max(0, s.cfg.Grace))
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-settled:
	}
}

// read delivers entries until the subscription ends.
func (s *subscription) read() {
	for failures := 0; ; {
		n := s.take()
		if n == 0 {
			return
		}
		entries, err := s.next(n)
		if err != nil {
			s.release(n)
			s.heal(err, failures)
			failures++
			continue
		}
		failures = 0
		s.release(n - len(entries))
		for _, e := range entries {
			s.deliver(e)
		}
	}
}

// readBatch is how many entries one read asks for at the most, so that none holds Redis for long.
const readBatch = 1000

// take waits for a free slot, takes all that are free, and returns how many. It returns 0 at the end.
func (s *subscription) take() int {
	select {
	case <-s.reading.Done():
		return 0
	case s.slots <- struct{}{}:
	}
	if s.reading.Err() != nil {
		s.release(1)
		return 0
	}
	n := 1
	for ; n < min(cap(s.slots), readBatch); n++ {
		select {
		case s.slots <- struct{}{}:
		default:
			return n
		}
	}
	return n
}

func (s *subscription) release(n int) {
	for range n {
		<-s.slots
	}
}

// next returns at most n entries: idle ones of this group, at times, or else new ones.
func (s *subscription) next(n int) ([]redis.XMessage, error) {
	// A reply is worth more than a quick end: what Redis has handed to us nobody else gets.
	ctx := context.WithoutCancel(s.reading)
	if time.Since(s.claimed) >= s.cfg.ClaimIdle/2 {
		entries, err := s.claim(ctx, n)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
	}
	streams, err := s.cfg.Client.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: s.cfg.Group, Consumer: s.cfg.Consumer, Streams: []string{s.topic, ">"},
		Count: int64(n), Block: s.cfg.Block,
	}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil || len(streams) == 0 {
		return nil, err
	}
	return streams[0].Messages, nil
}

// claim takes over at most n entries that were idle too long, whoever has them: also our own, for the
// reply that brought them may have been lost. What is in flight here is left out. It goes on where
// the last call ended, so that no number of entries hides those behind them.
func (s *subscription) claim(ctx context.Context, n int) ([]redis.XMessage, error) {
	found, next, err := s.cfg.Client.XAutoClaim(ctx, &redis.XAutoClaimArgs{
		Stream: s.topic, Group: s.cfg.Group, Consumer: s.cfg.Consumer,
		MinIdle: s.cfg.ClaimIdle, Start: s.cursor, Count: int64(n),
	}).Result()
	if err != nil {
		return nil, err
	}
	s.cursor = next
	if next == "0-0" {
		s.claimed = time.Now()
	}
	entries := found[:0]
	s.mu.Lock()
	for _, e := range found {
		if !s.held[e.ID] {
			entries = append(entries, e)
		}
	}
	s.mu.Unlock()
	if len(entries) > 0 {
		s.metrics.claimed.Add(float64(len(entries)))
		s.log.LogAttrs(ctx, slog.LevelInfo, "idle entries claimed", slog.String("stream", s.topic),
			slog.String("group", s.cfg.Group), slog.Int("entries", len(entries)))
	}
	return entries, nil
}

// heal does what can be done about a read that failed, and waits: longer each time in a row, a second
// at the most.
func (s *subscription) heal(err error, inARow int) {
	s.metrics.failures.Inc()
	s.log.LogAttrs(s.reading, slog.LevelWarn, "read failed and is tried again", slog.String("stream", s.topic),
		slog.String("group", s.cfg.Group), slog.Any("error", err))
	if strings.HasPrefix(err.Error(), "NOGROUP") {
		if err := s.makeGroup(s.reading, s.topic); err == nil {
			s.metrics.groups.Inc()
			s.log.LogAttrs(s.reading, slog.LevelWarn, "consumer group was gone and is made again, from the start of the stream",
				slog.String("stream", s.topic), slog.String("group", s.cfg.Group))
		}
	}
	pause.Retry(s.reading, inARow)
}

// deliver hands the message of an entry out, for which a slot is taken.
func (s *subscription) deliver(e redis.XMessage) {
	s.mu.Lock()
	s.held[e.ID] = true
	s.mu.Unlock()
	if e.Values == nil {
		e.Values = map[string]any{} // deleted while it was pending
	}
	e.Values[positionField] = position{s.topic, e.ID}
	msg, err := s.cfg.Unmarshaller.Unmarshal(e.Values)
	reason := ""
	if err != nil {
		reason = err.Error()
	} else {
		reason = msg.Metadata[MetaUndecodable]
	}
	if reason != "" {
		s.metrics.undecodable.Inc()
		s.log.LogAttrs(s.reading, slog.LevelWarn, "undecodable entry skipped", slog.String("stream", s.topic),
			slog.String("entry", e.ID), slog.String("reason", reason))
		s.answered <- e.ID
		return
	}
	if cancel, ok := s.send(msg); ok {
		s.settling.Go(func() { s.settle(e.ID, msg, cancel) })
	}
}

// send hands a message to whoever reads the channel. It returns false when the subscription ended before.
func (s *subscription) send(msg *message.Message) (context.CancelFunc, bool) {
	ctx, cancel := context.WithCancel(s.messages)
	msg.SetContext(ctx)
	if s.reading.Err() == nil {
		select {
		case s.out <- msg:
			return cancel, true
		case <-s.reading.Done():
		}
	}
	cancel()
	return nil, false
}

// settle waits for the answer to a message.
func (s *subscription) settle(id string, msg *message.Message, cancel context.CancelFunc) {
	for {
		select {
		case <-msg.Acked():
			cancel()
			s.answered <- id
			return
		case <-msg.Nacked():
			cancel()
			pause.For(s.reading, s.cfg.NackDelay)
			again, ok := msg.Copy(), false
			if cancel, ok = s.send(again); !ok {
				return
			}
			msg = again
			s.metrics.redelivered.Inc()
		case <-s.messages.Done():
			cancel()
			return
		}
	}
}
