package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/infra/pause"
)

// The pauses before a subscriber is opened again: they double, and begin anew after one that lasted.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Supervisor is a Subscriber of Watermill whose subscriptions end only when they are told to. Behind
// each is another subscriber, which is replaced when it ends: watermill-redisstream's does at an entry
// that its unmarshaller refuses, and when its consumer group is gone if its configuration says so.
type Supervisor struct {
	open    func() (message.Subscriber, error)
	log     *slog.Logger
	metrics metrics
	life    context.Context //nolint:containedctx // ends at Close
	stop    context.CancelFunc

	mu      sync.Mutex
	running sync.WaitGroup
}

var _ message.Subscriber = (*Supervisor)(nil)

// Supervise returns a Supervisor over the subscribers that open returns. Each serves one subscription
// and is closed after it. An error of open is logged, and open is called again a little later. A nil
// logger says nothing, a nil reg counts nowhere.
func Supervise(open func() (message.Subscriber, error), logger *slog.Logger, reg prometheus.Registerer) *Supervisor {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Supervisor{open: open, log: logger, metrics: newMetrics(reg)}
	s.life, s.stop = context.WithCancel(context.Background())
	return s
}

// Subscribe delivers what the subscribers behind it deliver, until ctx ends or the Supervisor is
// closed; then it closes the channel. Nothing behind it needs to be reachable yet.
func (s *Supervisor) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life.Err() != nil {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		defer cancel()
		defer stop()
		s.supervise(ctx, topic, out)
	})
	return out, nil
}

func (s *Supervisor) supervise(ctx context.Context, topic string, out chan<- *message.Message) {
	for wait := firstPause; ctx.Err() == nil; wait = min(2*wait, lastPause) {
		began := time.Now()
		err := s.once(ctx, topic, out)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 2*lastPause {
			wait = firstPause
		}
		s.metrics.restarts.Inc()
		s.log.LogAttrs(ctx, slog.LevelWarn, "subscriber ended and is started again",
			slog.String("stream", topic), slog.Duration("in", wait), slog.Any("error", err))
		pause.For(ctx, wait)
	}
}

// once runs one subscriber to its end.
func (s *Supervisor) once(ctx context.Context, topic string, out chan<- *message.Message) (err error) {
	sub, err := s.open()
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() {
		if e := sub.Close(); err == nil && e != nil {
			err = fmt.Errorf("close: %w", e)
		}
	}()
	// Its context is ours, so that it ends by itself before it is closed.
	msgs, err := sub.Subscribe(ctx, topic)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for {
		select {
		case msg, more := <-msgs:
			if !more {
				return nil
			}
			select {
			case out <- msg:
			case <-ctx.Done():
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Close ends every subscription, closes the subscribers behind them, and waits for that. It may be
// called again.
func (s *Supervisor) Close() error {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	s.running.Wait()
	return nil
}
