package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/views"
)

const (
	// liveEvery is the least time between two updates of a live page, whatever the rate of events.
	liveEvery = 500 * time.Millisecond
	// liveBeat is the most: what no event tells, such as an age or a worker that came, is not older.
	liveBeat = 5 * time.Second
	// liveRest is the least time after an update that failed: what failed may be costly.
	liveRest = 2 * time.Second
)

// wantsStream reports whether a page is asked for as a stream of its live parts: by its own address, so
// that whatever chooses what a page shows chooses what is sent.
func wantsStream(c *gin.Context) bool {
	c.Header("Vary", "Accept")
	return c.Request.Method == http.MethodGet && c.GetHeader("Accept") == "text/event-stream"
}

// live serves the live parts of a page as server-sent events: all of them first, then those that changed.
//
//	event: parts    data: {"now": ms of Redis' clock, "parts": {id: HTML of the element}}
//	event: trouble  data: {"reason": why there is no update}
func (a *API) live(c *gin.Context, read reader, still bool) {
	leave, err := a.admitStream()
	if err != nil {
		a.fail(c, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)() // a stream ends with the service
	l := &livePage{sse: newSSE(c.Writer), api: a, c: c, request: c.Request, read: read, still: still, sent: map[string]string{}}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for ctx.Err() == nil && l.update(ctx) == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// livePage is a page that somebody watches.
type livePage struct {
	*sse
	api     *API
	c       *gin.Context
	request *http.Request
	read    reader
	still   bool              // what it shows does not change: it is read once
	sent    map[string]string // by id of the part
	seen    []events.ID       // by partition: the checkpoint of the views when the page was read last
	at      time.Time         // when that was
	trouble bool              // the last read failed
}

// update sends what changed, if it is time to look. An error is the end of the stream.
func (l *livePage) update(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if l.trouble && time.Since(l.at) < liveRest {
		return nil
	}
	moved, err := l.moved(ctx)
	if err == nil && (!moved || l.still && len(l.sent) > 0) && !l.trouble && time.Since(l.at) < liveBeat {
		return nil
	}
	l.at = time.Now()
	var message any
	if err == nil {
		message, err = l.changes(ctx)
	}
	before := l.trouble
	if l.trouble = err != nil; !l.trouble {
		return l.send("parts", message)
	}
	if l.request.Context().Err() != nil {
		return err
	}
	p := problemOf(err)
	if !before && p.Status >= http.StatusInternalServerError {
		l.api.slog.LogAttrs(ctx, slog.LevelWarn, "a live page cannot be read", slog.String("route", l.c.FullPath()), slog.Any("error", err))
	}
	return l.send("trouble", map[string]string{"reason": p.Title})
}

// moved reports whether the views went on since the page was read.
func (l *livePage) moved(ctx context.Context) (bool, error) {
	var now []events.ID
	for _, p := range l.api.log.Partitions() {
		at, err := l.api.views.Checkpoint(ctx, p)
		if err != nil && !errors.Is(err, views.ErrUnusable) { // a page that needs them will say so
			return false, err
		}
		now = append(now, at)
	}
	moved := !slices.Equal(now, l.seen)
	l.seen = now
	return moved, nil
}

// changes reads the page and returns the message of its parts that are not those that were sent.
func (l *livePage) changes(ctx context.Context) (any, error) {
	l.c.Request = l.request.WithContext(ctx)
	changed := map[string]string{}
	if l.still && len(l.sent) > 0 {
		now, err := l.api.log.Now(ctx)
		return liveParts{now.UnixMilli(), changed}, err
	}
	now, page, err := l.api.look(l.c, l.read)
	if err != nil {
		return nil, err
	}
	parts, err := l.api.pages.Parts(page)
	if err != nil {
		return nil, fmt.Errorf("render the live parts of %s: %w", l.c.FullPath(), err)
	}
	for _, p := range parts {
		if l.sent[p.ID] != p.HTML {
			changed[p.ID], l.sent[p.ID] = p.HTML, p.HTML
		}
	}
	return liveParts{now.UnixMilli(), changed}, nil
}

// liveParts is a message of what changed.
type liveParts struct {
	Now   int64             `json:"now"`   // ms of Redis' clock
	Parts map[string]string `json:"parts"` // id → HTML of the element
}
