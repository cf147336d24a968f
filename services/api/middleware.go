package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// secure sets the headers that bound what a browser does with an answer.
func secure(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

const requestIDHeader = "X-Request-Id"

var requestIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// identify gives every request an id that the answer and our log share; a client may choose it.
func identify(c *gin.Context) {
	id := c.GetHeader(requestIDHeader)
	if !requestIDForm.MatchString(id) {
		id = uuid.NewString()
	}
	c.Header(requestIDHeader, id)
}

// observe counts and times requests by the pattern of their route.
func (a *API) observe(c *gin.Context) {
	begin := time.Now()
	c.Next()
	a.metrics.observe(c.FullPath(), c.Request.Method, c.Writer.Status(), time.Since(begin))
}

// recover turns a panic into a problem. It logs where, and what only if the Go runtime panicked:
// anything else may quote a payload.
func (a *API) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		err, _ := v.(error)
		if errors.Is(err, http.ErrAbortHandler) {
			panic(v) // net/http's own way to cut a connection
		}
		what := fmt.Sprintf("%T", v)
		if e, ok := errors.AsType[runtime.Error](err); ok {
			what = e.Error()
		}
		a.slog.LogAttrs(c.Request.Context(), slog.LevelError, "handler panicked", slog.String("route", c.FullPath()),
			slog.String("panic", what), slog.String("stack", string(debug.Stack())))
		c.Abort()
		if !c.Writer.Written() {
			writeProblem(c, internal())
		}
	}()
	c.Next()
}

// crossOrigin refuses a browser's request from another site's page unless it is a safe one.
var crossOrigin = http.NewCrossOriginProtection()

func (a *API) protect(c *gin.Context) {
	if !a.answersTo(c.Request.Host) {
		a.fail(c, newProblem(http.StatusForbidden, "unknown-host", "The service does not go by this name",
			"it answers to localhost, to IP addresses and to the names in TASKLOG_HOSTS"))
		return
	}
	if err := crossOrigin.Check(c.Request); err != nil {
		a.fail(c, newProblem(http.StatusForbidden, "cross-origin", "Another site may not ask for this", err.Error()))
	}
}

// answersTo reports whether a Host header may name us. On loopback a page of any site could else reach
// us through a name of its own that resolves to 127.0.0.1 (DNS rebinding), as its own origin. Elsewhere
// that is checked where no token tells such a page from others, and when names are given.
func (a *API) answersTo(host string) bool {
	if (a.listener == nil || !a.loopback && a.tokens != nil) && len(a.cfg.Hosts) == 0 {
		return true
	}
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	return name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(a.cfg.Hosts, name)
}

// requestTimeout is how long a request may take, waiting for Redis included.
const requestTimeout = 5 * time.Second

// deadline bounds a request; a Redis that does not answer by then counts as unavailable.
func deadline(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	c.Next()
}
