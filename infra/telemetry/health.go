package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HealthConfig says where a process tells how it fares.
type HealthConfig struct {
	// HealthAddr is host:port for /healthz, /readyz and /metrics of a service that serves no HTTP of
	// its own. Empty means off; without a host it is 127.0.0.1.
	HealthAddr string `env:"TASKLOG_HEALTH_ADDR"`
}

// Health is a server with three routes. /healthz says that the process lives, /readyz that it can
// work (503 with the reason when not), /metrics what it measured.
type Health struct {
	listener net.Listener
	server   *http.Server
}

const (
	readyTimeout = 2 * time.Second // how long ready may take
	headTimeout  = 5 * time.Second // how long a client may take to send its request's head

	readTimeout  = 10 * time.Second // all of its request
	writeTimeout = 30 * time.Second // for an answer
	idleTimeout  = 2 * time.Minute  // between two requests of a connection
	maxHeader    = 16 << 10         // bytes
)

// NewHealth binds the address and returns a server, or nil when none is wanted: a nil Health runs
// and does nothing. ready is asked at each /readyz; nil means always ready.
func NewHealth(ctx context.Context, cfg HealthConfig, metrics prometheus.Gatherer, ready func(context.Context) error) (*Health, error) {
	if cfg.HealthAddr == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(cfg.HealthAddr)
	if err != nil {
		return nil, fmt.Errorf("health address %q: want host:port: %w", cfg.HealthAddr, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("health address: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if ready == nil {
			say(w, http.StatusOK, "ready")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if err := ready(ctx); err != nil {
			say(w, http.StatusServiceUnavailable, "not ready: "+err.Error())
			return
		}
		say(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return &Health{
		listener: listener,
		server: &http.Server{
			Handler: mux, ReadHeaderTimeout: headTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
			IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		},
	}, nil
}

// Addr is the address that is bound, or "".
func (h *Health) Addr() string {
	if h == nil {
		return ""
	}
	return h.listener.Addr().String()
}

// Run serves until ctx ends, and returns when every request is answered, after a second at the most.
func (h *Health) Run(ctx context.Context) error {
	if h == nil {
		<-ctx.Done()
		return nil
	}
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(h.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("health server: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := h.server.Shutdown(stop); err != nil {
		_ = h.server.Close() // a request is still open: it is the end either way
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("health server: %w", err)
	}
	return nil
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // a client that went away misses nothing
}
