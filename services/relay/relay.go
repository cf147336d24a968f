package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/bus"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/webhook"
)

// Config says what goes where.
type Config struct {
	// To is the URL that events are posted to: http or https, without a user name. New needs it,
	// Forward ignores it.
	To string `env:"TASKLOG_RELAY_TO" usage:"URL of the webhook"`
	// Types are the event types that are delivered. Empty means those that end a task: TaskCompleted,
	// TaskCancelled, and TaskFailed when no retry follows. A type that is listed is delivered always.
	Types []string `env:"TASKLOG_RELAY_TYPES" usage:"event types to deliver, separated by commas (default the final ones)"`
	// Secret signs requests; see infra/webhook. Empty means unsigned.
	Secret string `env:"TASKLOG_RELAY_SECRET" usage:"secret that signs requests"`
	// Allow is the networks beyond the public internet that To may be in, such as 10.0.0.0/8; see infra/webhook.
	Allow []string `env:"TASKLOG_RELAY_ALLOW" usage:"networks beyond the public internet that the webhook may be in, separated by commas"`
	// Group is the consumer group, which keeps the position in the log. A new group begins at the
	// start of the log. Empty means "relay".
	Group string `env:"TASKLOG_RELAY_GROUP" usage:"consumer group, which keeps the position (default relay)"`
	// Consumer is the name in the group. It must be its own, and the same after a restart. Empty
	// means the host's name.
	Consumer string `env:"TASKLOG_RELAY_CONSUMER" usage:"name in the group (default the host's name)"`
	// Timeout bounds one try. Zero means 10 s.
	Timeout time.Duration `env:"TASKLOG_RELAY_TIMEOUT" usage:"how long one try may take"`
	// Retries is how often a delivery is tried again before the event goes to the poison stream. Zero
	// means 5, less than nothing means never.
	Retries int `env:"TASKLOG_RELAY_RETRIES" zero:"-1" usage:"how often a delivery is tried again; 0: never"`
	// RetryDelay is the time before the first retry; it doubles up to MaxRetryDelay, ± a fifth. Zero
	// means 1 s.
	RetryDelay time.Duration `env:"TASKLOG_RELAY_RETRY_DELAY" usage:"time before the first retry"`
	// MaxRetryDelay bounds RetryDelay. Zero means 30 s, or RetryDelay if that is more.
	MaxRetryDelay time.Duration `env:"TASKLOG_RELAY_MAX_RETRY_DELAY" usage:"longest time before a retry"`
}

// DefaultConfig returns what the zero Config means.
func DefaultConfig() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Group == "" {
		c.Group = defaultGroup
	}
	if c.Consumer == "" {
		c.Consumer = "relay"
		if host, err := os.Hostname(); err == nil {
			c.Consumer = host
		}
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Retries == 0 {
		c.Retries = 5
	}
	if c.RetryDelay == 0 {
		c.RetryDelay = time.Second
	}
	if c.MaxRetryDelay == 0 {
		c.MaxRetryDelay = max(30*time.Second, c.RetryDelay)
	}
	return c
}

const (
	defaultGroup = "relay"
	retryJitter  = 0.2
	retryGrowth  = 2
	poisonLen    = 10_000   // entries of a poison stream
	answerLimit  = 64 << 10 // bytes of a webhook's answer, read so that its connection can be used again
	closeTimeout = time.Minute
)

func (c Config) validate() error {
	if err := events.ValidateName("relay group", c.Group); err != nil {
		return err
	}
	if err := events.ValidateName("relay consumer", c.Consumer); err != nil {
		return err
	}
	for _, t := range c.Types {
		if !slices.Contains(events.Types, events.Type(t)) {
			return &events.FieldError{Field: "relay types", Reason: fmt.Sprintf("there is no event type %q", t)}
		}
	}
	switch {
	case c.Timeout < time.Millisecond:
		return &events.FieldError{Field: "relay timeout", Reason: fmt.Sprintf("%s is too short for a request", c.Timeout)}
	case c.Retries > 100:
		return &events.FieldError{Field: "relay retries", Reason: fmt.Sprintf("%d is more than 100", c.Retries)}
	case c.RetryDelay < 0 || c.MaxRetryDelay < c.RetryDelay:
		return &events.FieldError{Field: "relay retry delay", Reason: fmt.Sprintf("%s … %s is no range", c.RetryDelay, c.MaxRetryDelay)}
	}
	return nil
}

// longest is how long the handling of one event can take.
func (c Config) longest() time.Duration {
	total, delay := c.Timeout, c.RetryDelay
	for range max(0, c.Retries) {
		total += c.Timeout + time.Duration(float64(delay)*(1+retryJitter))
		delay = min(retryGrowth*delay, c.MaxRetryDelay)
	}
	return total
}

// Relay follows the log and delivers events.
type Relay struct {
	log     *eventlog.Log
	cfg     Config
	slog    *slog.Logger
	reg     prometheus.Registerer
	metrics metrics
	tally   tally
	to      message.Publisher
	topic   string
	done    func() // after Run
}

// New returns a Relay to the webhook of the configuration. reg may be nil: then nothing is measured.
// The error is an *events.FieldError.
func New(log *eventlog.Log, cfg Config, logger *slog.Logger, reg prometheus.Registerer) (*Relay, error) {
	cfg = cfg.withDefaults()
	allow, err := webhook.ParseAllow(cfg.Allow)
	if err != nil {
		return nil, &events.FieldError{Field: "relay allow", Reason: err.Error()}
	}
	to, err := webhook.ParseURL(cfg.To)
	if err == nil {
		err = allow.CheckHost(to.Hostname())
	}
	if err != nil {
		return nil, &events.FieldError{Field: "relay to", Reason: err.Error()}
	}
	hook := newHook(cfg, allow, len(log.Partitions()))
	r, err := Forward(log, cfg, hook, cfg.To, logger, reg)
	if err != nil {
		return nil, err
	}
	r.done = hook.client.Close
	return r, nil
}

// Forward returns a Relay to a publisher of Watermill: the same router, with another end. A message has
// the event's JSON body as payload and the metadata of infra/bus, whose Decode gives the event back. Its
// context ends after Config.Timeout. The publisher is not closed.
func Forward(log *eventlog.Log, cfg Config, to message.Publisher, topic string, logger *slog.Logger, reg prometheus.Registerer) (*Relay, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Relay{
		log: log, cfg: cfg, slog: logger, reg: reg, metrics: newMetrics(reg), to: to, topic: topic, done: func() {},
	}, nil
}

// Run delivers until ctx ends and everything it started is over, at the latest some eventlog.MaxBlock
// later. It may be called once. The error says why the router could not be built or run.
func (r *Relay) Run(ctx context.Context) error {
	defer r.done()
	logger := bus.NewLogger(r.slog)
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, logger)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	dead, err := bus.NewPublisher(bus.PublisherConfig{Client: r.log.Conn().View, MaxLen: poisonLen})
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	retry := middleware.Retry{
		MaxRetries: max(0, r.cfg.Retries), InitialInterval: r.cfg.RetryDelay, MaxInterval: r.cfg.MaxRetryDelay,
		Multiplier: retryGrowth, RandomizationFactor: retryJitter,
	}
	for _, p := range r.log.Partitions() {
		poison, err := middleware.PoisonQueueWithFilter(grave{dead, r}, r.Poison(p), func(err error) bool {
			return !errors.Is(err, context.Canceled) // we stop: the event is not at fault
		})
		if err != nil {
			return fmt.Errorf("relay: %w", err)
		}
		source := bus.Supervise(func() (message.Subscriber, error) { return r.open(ctx, p) }, r.slog, r.reg)
		router.AddConsumerHandler("relay-"+strconv.Itoa(p.N), p.Events, source, r.deliver).
			AddMiddleware(poison, retry.Middleware, middleware.Recoverer)
	}
	telling, hush := context.WithCancel(context.WithoutCancel(ctx)) // until the router has ended
	var told sync.WaitGroup
	told.Go(func() { r.tell(telling) })
	defer told.Wait()
	defer hush()
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	return nil
}

// Poison is the key of the stream of a partition's events that could not be delivered. An entry has the
// fields of the event, and in its field "meta" the reason and the event's entry id.
func (r *Relay) Poison(p eventlog.Partition) string {
	key := strings.TrimSuffix(p.Events, "events") + "relay:poison"
	if r.cfg.Group != defaultGroup {
		key += ":" + r.cfg.Group
	}
	return key
}

// deliver makes one try at an event.
func (r *Relay) deliver(msg *message.Message) error {
	e, err := bus.Decode(msg)
	if err != nil {
		r.metrics.undecodable.Inc()
		r.tally.undecodable.Add(1)
		r.slog.LogAttrs(msg.Context(), slog.LevelWarn, "undecodable entry skipped", slog.String("stream", msg.Metadata[bus.MetaStream]),
			slog.String("entry", msg.Metadata[bus.MetaID]), slog.Any("error", err))
		return nil
	}
	if !r.cfg.chosen(e.Data) {
		return nil
	}
	out := msg.Copy()
	ctx, cancel := context.WithTimeout(msg.Context(), r.cfg.Timeout)
	defer cancel()
	out.SetContext(ctx)
	if err := r.to.Publish(r.topic, out); err != nil {
		r.metrics.failures.Inc()
		r.tally.failures.Add(1)
		r.slog.LogAttrs(ctx, slog.LevelWarn, "delivery failed", slog.String("stream", msg.Metadata[bus.MetaStream]),
			slog.String("entry", e.ID.String()), slog.String("task", e.Task), slog.Any("error", err))
		return err
	}
	r.metrics.delivered.WithLabelValues(string(e.Data.Type())).Inc()
	r.tally.delivered.Add(1)
	return nil
}

// chosen reports whether an event is to be delivered.
func (c Config) chosen(d events.Data) bool {
	if len(c.Types) == 0 {
		return events.Next(d).Final()
	}
	return slices.Contains(c.Types, string(d.Type()))
}

// grave is the publisher of the poison middleware, which tells nobody what it buries.
type grave struct {
	*bus.Publisher
	r *Relay
}

// Publish implements message.Publisher.
func (g grave) Publish(topic string, msgs ...*message.Message) error {
	if err := g.Publisher.Publish(topic, msgs...); err != nil {
		return err
	}
	for _, m := range msgs {
		g.r.metrics.poisoned.Inc()
		g.r.tally.poisoned.Add(1)
		g.r.slog.LogAttrs(m.Context(), slog.LevelError, "event could not be delivered and is put aside",
			slog.String("stream", m.Metadata[bus.MetaStream]), slog.String("entry", m.Metadata[bus.MetaID]),
			slog.String("task", m.Metadata[bus.MetaTask]), slog.String("poison", topic),
			slog.String("error", m.Metadata[middleware.ReasonForPoisonedKey]))
	}
	return nil
}
