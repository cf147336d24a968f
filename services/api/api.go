// Package api serves Tasklog over HTTP: it takes tasks, tells what became of them, streams the log,
// and shows the dashboard.
//
// # Guarantees
//
// A request that is answered with a 4xx status appended nothing, and so did a line of a bulk. A payload reaches the handler as it
// was sent: it is never decoded here. Every error is application/problem+json (RFC 9457) and names the
// field at fault where there is one. GET and HEAD change nothing.
//
// # Time
//
// Redis' clock alone: a delay counts from the moment at which Redis took the task.
//
// # Failure
//
// While Redis does not answer, so says status 503 with Retry-After; the process goes on and recovers by
// itself. A 503 to POST /api/tasks means unknown: with a customJobId asking again is safe, without one it
// may make a second task. The same holds for each line of a bulk. Event streams stay open and go on where
// they were.
//
// # Cost at idle
//
// Without requests and without event streams nothing is asked of Redis. Any number of event streams
// share one reader a partition.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/services/api/dashboard"
	"github.com/tasklog/tasklog/services/api/tokens"
)

// Config says where the API listens and what it takes. The zero Config is good.
type Config struct {
	// Addr is host:port. Empty means 127.0.0.1:3000; ":3000" means every interface, which wants Tokens.
	Addr string `env:"TASKLOG_ADDR" usage:"host:port of the HTTP API; without a host, every interface"`
	// Hosts are the names, in lower case, that requests may be addressed to besides localhost and IP
	// addresses, such as that of a proxy in front. They count on loopback, without Tokens, and where any
	// is given.
	Hosts []string `env:"TASKLOG_HOSTS" usage:"names that the API answers to, separated by commas; on loopback, without tokens, and wherever names are given"`
	// Tokens is a file of tokens; see package tokens. Where it is named, every route but /healthz and
	// /readyz wants one. Empty means that everybody may ask for everything, on loopback.
	Tokens string `env:"TASKLOG_TOKENS" usage:"file of the tokens that may use the API; without, it listens on loopback only"`
	// InsecureOpen lets everybody ask for everything beyond loopback, too.
	InsecureOpen bool `env:"TASKLOG_INSECURE_OPEN" usage:"true lets the API listen beyond loopback without tokens"`
	// MaxPayload is how many bytes of JSON the payload of a task may have. Zero means 1 MiB.
	MaxPayload int `env:"TASKLOG_MAX_PAYLOAD" usage:"bytes that the payload of a task may have"`
	// MaxMemory is how full Redis may be, in percent of its maxmemory, when a task is taken. Zero means
	// 75, more than 100 that Redis itself refuses when there is no room.
	MaxMemory int `env:"TASKLOG_MAX_MEMORY" usage:"percent of Redis' maxmemory from which on no task is taken"`
	// MaxStreams is how many event streams may be open at once. Zero means 256.
	MaxStreams int `env:"TASKLOG_MAX_STREAMS" usage:"event streams that may be open at once"`
	// SearchBytes is how much memory the search for tasks may take, while somebody searches. Zero means 64 MiB.
	SearchBytes int `env:"TASKLOG_SEARCH_BYTES" usage:"bytes of memory that the search for tasks may take while it is used"`
	// SearchDays is how many days back a search goes. Zero means 7.
	SearchDays int `env:"TASKLOG_SEARCH_DAYS" usage:"days that the search for tasks goes back"`
	// ReadTimeout is how long a client may take to send a request, or a line of a bulk, and to take answers of a
	// bulk. Zero means 15 s.
	ReadTimeout time.Duration `env:"TASKLOG_READ_TIMEOUT" usage:"how long a client may take to send a request"`

	// PastTimeout is how long an answer about the past may read the log; it has to be less than the 5 s of a request.
	// Zero means 4 s.
	PastTimeout time.Duration
	// SearchIdle is after how long without a search what it takes is given back. Zero means 5 minutes.
	SearchIdle time.Duration
	// Heartbeat is the time between two signs of life on a silent event stream. Zero means 15 s.
	Heartbeat time.Duration
}

// DefaultConfig returns what the zero Config means.
func DefaultConfig() Config { return Config{}.withDefaults() }

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:3000"
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = events.DefaultMaxPayload
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = eventlog.DefaultAdmit
	}
	if c.MaxStreams == 0 {
		c.MaxStreams = 256
	}
	if c.SearchBytes == 0 {
		c.SearchBytes = 64 << 20
	}
	if c.SearchDays == 0 {
		c.SearchDays = 7
	}
	if c.PastTimeout == 0 {
		c.PastTimeout = 4 * time.Second
	}
	if c.SearchIdle == 0 {
		c.SearchIdle = 5 * time.Minute
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 15 * time.Second
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 15 * time.Second
	}
	return c
}

const (
	headTimeout  = 5 * time.Second  // for the head of a request
	writeTimeout = 30 * time.Second // for an answer; an event stream sets its own
	idleTimeout  = 2 * time.Minute  // between two requests of a connection
	drainTimeout = 10 * time.Second // for requests under way at shutdown
	maxHeader    = 32 << 10         // bytes
)

// API is the HTTP service. Its zero value is of no use: see New.
type API struct {
	log      *eventlog.Log
	views    *views.Store
	past     *past.Store
	memory   *memory
	cfg      Config
	slog     *slog.Logger
	metrics  metrics
	tokens   *tokens.Set // nil: everybody may ask for everything
	pages    *dashboard.Pages
	feeds    []*feed // one a partition
	sys      *system
	searcher *searcher
	watches  watches
	streams  atomic.Int64
	bulks    atomic.Int64
	handler  http.Handler
	listener net.Listener
	loopback bool // listener is on loopback

	closing context.Context //nolint:containedctx // the service's life, which every event stream watches
	close   context.CancelFunc
	running sync.WaitGroup // readers of the log
}

// New returns an API of a log that the caller opened, and will close after the API. reg is what
// /metrics shows, and where the API registers its own; nil means a new one. It fails when the
// Config is out of range or its file of tokens is wrong, and sends Redis nothing.
func New(log *eventlog.Log, cfg Config, logger *slog.Logger, reg *prometheus.Registry) (*API, error) {
	cfg = cfg.withDefaults()
	if cfg.MaxPayload < 0 || cfg.MaxMemory < 0 || cfg.MaxStreams < 0 || cfg.SearchBytes < 0 || cfg.SearchDays < 0 || cfg.PastTimeout < 0 || cfg.SearchIdle < 0 ||
		cfg.ReadTimeout < 0 || cfg.Heartbeat < 0 {
		return nil, errors.New("api: a limit is less than zero")
	}
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	var known *tokens.Set
	if cfg.Tokens != "" {
		var err error
		if known, err = tokens.Load(cfg.Tokens); err != nil {
			return nil, err
		}
	}
	pages, err := dashboard.New()
	if err != nil {
		return nil, err
	}
	a := &API{log: log, views: views.New(log), past: past.New(log), memory: newMemory(), cfg: cfg, slog: logger, metrics: newMetrics(reg), tokens: known, pages: pages, sys: newSystem(len(log.Partitions()))}
	a.closing, a.close = context.WithCancel(context.Background())
	for _, p := range log.Partitions() {
		a.feeds = append(a.feeds, &feed{api: a, part: p})
	}
	a.searcher = newSearcher(a, reg)
	a.handler = a.routes(reg)
	return a, nil
}

// Handler serves every route. Whoever uses it without Run calls Close in the end, and answers for who
// can reach it: without Listen only Config.Tokens and Config.Hosts are looked at.
func (a *API) Handler() http.Handler { return a.handler }

// Listen binds the address, so that Addr tells the port before Run serves. It returns an ErrOpen when
// that is beyond loopback and everybody could ask for everything.
func (a *API) Listen(ctx context.Context) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", a.cfg.Addr)
	if err != nil {
		return fmt.Errorf("%w: choose another address with --addr or TASKLOG_ADDR", err)
	}
	a.listener = listener
	if at, ok := listener.Addr().(*net.TCPAddr); ok {
		a.loopback = at.IP.IsLoopback()
	}
	if !a.loopback && a.tokens == nil && !a.cfg.InsecureOpen {
		a.listener = nil
		return errors.Join(fmt.Errorf("listen at %s: %w", listener.Addr(), ErrOpen), listener.Close())
	}
	return nil
}

// Addr is the address that is bound, or the one that Listen will bind.
func (a *API) Addr() string {
	if a.listener == nil {
		return a.cfg.Addr
	}
	return a.listener.Addr().String()
}

// Run serves until ctx ends: then it ends the event streams, answers what was asked, and returns nil
// when all of it is over, within 10 s. It binds the address unless Listen did. An API runs once.
func (a *API) Run(ctx context.Context) error {
	defer a.Close()
	if a.listener == nil {
		if err := a.Listen(ctx); err != nil {
			return err
		}
	}
	server := &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       a.cfg.ReadTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(a.slog.Handler(), slog.LevelDebug), // clients that misbehave
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(a.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	a.close()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		a.slog.LogAttrs(ctx, slog.LevelWarn, "requests were still open at shutdown", slog.Any("error", err))
		_ = server.Close() // it is the end either way
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Close ends every event stream and returns when nothing that the API started reads the log any
// more, within eventlog.MaxBlock.
func (a *API) Close() {
	a.close()
	a.running.Wait()
}
