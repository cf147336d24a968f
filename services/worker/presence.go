package worker

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/pause"
)

// announceEvery is the time between two announcements. The scheduler gives a silent worker three.
const announceEvery = 5 * time.Second

// announce says that this worker is there, until taking ends; then it signs off.
func (w *Worker) announce(ctx, taking context.Context) {
	host, _ := os.Hostname() // a machine without a name is fine
	p := eventlog.Presence{
		Worker: w.cfg.ID, Host: host, PID: os.Getpid(), Version: w.cfg.Version, Queues: w.cfg.Queues,
		Concurrency: w.cfg.Concurrency, StartedAt: w.started.UnixMilli(),
	}
	for taking.Err() == nil {
		p.Running = w.runs.count()
		next := announceEvery
		if err := w.log.Announce(taking, p); err != nil && taking.Err() == nil {
			w.slog.LogAttrs(ctx, slog.LevelWarn, "presence could not be announced: trying again", slog.Any("error", err))
			next = time.Second
		}
		pause.For(taking, next)
	}
	if err := w.log.Leave(ctx, w.cfg.ID); err != nil {
		w.slog.LogAttrs(ctx, slog.LevelWarn, "presence could not be taken back: it ends by itself", slog.Any("error", err))
	}
}

// listen hears of cancellations and of new queues, until ctx ends. A signal that is lost costs time
// only: the next extension of a lease is refused, and the next look finds the queue.
func (w *Worker) listen(ctx context.Context, tasks *subscriber) {
	var channels []string
	for _, p := range w.log.Partitions() {
		channels = append(channels, p.Signals)
	}
	sub := w.log.Conn().Block.Subscribe(ctx, channels...)
	defer func() { _ = sub.Close() }() // nothing is read any more
	signals := sub.Channel(redis.WithChannelHealthCheckInterval(30 * time.Second))
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-signals:
			if !ok {
				return
			}
			switch kind, what, _ := strings.Cut(m.Payload, " "); kind {
			case "cancel":
				// The row says whether it is this attempt that was cancelled, and not one before.
				if list := w.runs.of(what); len(list) > 0 {
					w.extendSome(ctx, w.log.Of(what), list)
				}
			case "queue":
				tasks.look(m.Channel, what)
			}
		}
	}
}
