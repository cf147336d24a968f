package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/lock"
)

// Worker runs the tasks of a log. Handlers and middleware are added before Run; Run is called once.
type Worker struct {
	log      *eventlog.Log
	conn     *eventlog.Conn // closed at the end of Run; nil when the caller opened the log
	cfg      Config
	slog     *slog.Logger
	metrics  metrics
	handlers handlers
	middle   []message.HandlerMiddleware
	locks    *lock.Locker
	started  time.Time

	runs    runs
	slots   chan struct{} // one for each entry that is taken and whose handler has not returned
	running chan struct{} // one for each attempt, from before its start until its end is in the log
}

// Connect opens the log at a Redis URL (redis://, rediss://, unix://) and returns a worker that
// closes it at the end of Run. Like Run it waits for a Redis that does not answer, and says so: until
// ctx ends, why is then part of the error. A Redis that would lose tasks is refused (see eventlog.Server.Unfit): where
// that does no harm, open the log yourself and use New. The worker logs to slog.Default.
func Connect(ctx context.Context, url string, cfg Config) (*Worker, error) {
	conn, err := eventlog.Connect(url)
	if err != nil {
		return nil, err
	}
	var log *eventlog.Log
	err = eventlog.Await(ctx, func() error {
		log, err = eventlog.Open(ctx, conn, eventlog.Config{Prefix: cfg.Prefix})
		return err
	}, func(err error) {
		slog.LogAttrs(ctx, slog.LevelWarn, "redis cannot be used yet: waiting for it", slog.Any("error", err))
	})
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err, conn.Close())
	}
	doubts, unfit, _ := conn.Judge(ctx) // where it does not tell, it is taken as it is
	if unfit != nil {
		return nil, errors.Join(fmt.Errorf("worker: this redis cannot keep the log: %w", unfit), conn.Close())
	}
	for _, why := range doubts {
		slog.LogAttrs(ctx, slog.LevelWarn, "redis may lose tasks", slog.String("reason", why))
	}
	w, err := New(log, cfg, slog.Default())
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w.conn = conn
	return w, nil
}

// New returns a worker of a log that the caller opened and will close, after Run has returned. It
// returns an *events.FieldError for a setting that is wrong.
func New(log *eventlog.Log, cfg Config, logger *slog.Logger) (*Worker, error) {
	cfg = cfg.withDefaults()
	if cfg.ID == "" {
		cfg.ID = defaultID()
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	return &Worker{
		log: log, cfg: cfg, slog: logger, metrics: newMetrics(cfg.Metrics),
		locks: lock.New(log.Conn().Decide, lock.Config{
			TTL: cfg.LeaseTTL, Tries: cfg.LockTries, Delay: cfg.LockDelay, Jitter: max(0, cfg.LockJitter),
		}),
		slots: make(chan struct{}, cfg.Concurrency), running: make(chan struct{}, cfg.Concurrency),
	}, nil
}

// Use adds Watermill middleware around every handler, the first one outermost. A message carries the
// task: its payload is the task's, its UUID the task id, and its metadata has the keys Meta…. What
// the middleware returns as an error is the attempt's error. Use panics after Run was called.
func (w *Worker) Use(m ...message.HandlerMiddleware) {
	if w.handlers.closed {
		panic("worker: Use came after Run")
	}
	w.middle = append(w.middle, m...)
}

// Run takes tasks and runs them until ctx ends. Then it takes no more, gives back what it has not
// started, lets running handlers finish within the grace period, ends the contexts of the others
// with ErrShutdown, and gives back the tasks of those that return an error, or nothing within two
// seconds. It returns nil, or why it could not begin; while Redis is away it waits and goes on.
func (w *Worker) Run(ctx context.Context) error {
	if w.handlers.empty() {
		return errors.New("worker: no handlers: add one with Handle before Run")
	}
	if w.handlers.closed {
		return errors.New("worker: Run was called before")
	}
	w.handlers.closed = true
	w.started = time.Now()
	// The router waits for its handlers longer than we do.
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: max(0, w.cfg.Grace) + time.Minute}, newRouterLog(w.slog))
	if err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	router.AddMiddleware(w.record)
	router.AddMiddleware(w.middle...)

	// What runs outlives ctx by the grace period, so the processes that keep it alive do too.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	tasks := newSubscriber(life, w)
	router.AddConsumerHandler("tasks", "due", tasks, w.handle)
	var background sync.WaitGroup
	background.Go(func() { w.watch(life) })
	background.Go(func() { w.announce(life, ctx) })
	background.Go(func() { w.listen(life, tasks) })

	w.slog.LogAttrs(ctx, slog.LevelInfo, "worker takes tasks", slog.String("worker", w.cfg.ID),
		slog.Int("concurrency", w.cfg.Concurrency), slog.Any("queues", w.cfg.Queues))
	routed := make(chan error, 1)
	go func() { routed <- router.Run(ctx) }() // ends when its subscriber has, and every task
	select {
	case err = <-routed:
	case <-ctx.Done():
		err = w.drain(routed)
	}
	end()
	background.Wait()
	tasks.signOff(context.WithoutCancel(ctx))
	if w.conn != nil {
		err = errors.Join(err, w.conn.Close())
	}
	return err
}

// letGo is how long a handler may take to return after its context has ended at a shutdown, and then
// how long Redis may take to hear which tasks are given back.
const letGo = 2 * time.Second

// drain waits for what runs, for the grace period at most, and then takes it away from its handlers.
func (w *Worker) drain(routed <-chan error) error {
	grace := time.NewTimer(max(0, w.cfg.Grace))
	defer grace.Stop()
	select {
	case err := <-routed:
		return err
	case <-grace.C:
	}
	w.runs.each(func(r *run) { r.cancel(ErrShutdown) })
	late := time.NewTimer(letGo)
	defer late.Stop()
	select {
	case err := <-routed:
		return err
	case <-late.C:
	}
	// Their goroutines cannot be killed. The tasks go to others; what they return is fenced. All at
	// once: while Redis is away one of them alone may take all the time that there is.
	ctx, cancel := context.WithTimeout(context.Background(), letGo)
	defer cancel()
	var given sync.WaitGroup
	w.runs.each(func(r *run) {
		w.slog.LogAttrs(context.Background(), slog.LevelError, "a handler ignores that its context ended: its task is given back",
			slog.String("task", r.attempt.Task), slog.Int("attempt", r.attempt.Number), slog.String("name", r.name))
		given.Go(func() { w.giveBack(ctx, r) })
	})
	given.Wait()
	return nil
}
