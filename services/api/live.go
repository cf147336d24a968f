package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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
	w, unwatch := a.watches.join(a.base(c).Origin + c.Request.URL.RequestURI())
	defer unwatch()
	v := &viewer{sse: newSSE(c.Writer), api: a, c: c, request: c.Request, read: read, still: still}
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-due.C:
		case <-ctx.Done():
			return
		}
		s, next, err := w.see(ctx, v.look)
		if err != nil || ctx.Err() != nil || v.show(s) != nil {
			return
		}
		due.Reset(time.Until(next))
	}
}

// viewer is one who watches a live page.
type viewer struct {
	*sse
	api     *API
	c       *gin.Context
	request *http.Request
	read    reader
	still   bool // what the page shows does not change: it is read once
	seen    int  // number of the sight that was sent last
	whole   bool // what the viewer has is what that sight has
}

// show sends a sight, unless it was sent already or there is none. An error is the end of the stream.
func (v *viewer) show(s *sight) error {
	if s == nil || s.number == v.seen {
		return nil
	}
	v.whole = v.whole && s.number == v.seen+1
	v.seen = s.number
	if s.trouble != "" {
		return v.send("trouble", map[string]string{"reason": s.trouble})
	}
	parts := s.all
	if v.whole {
		parts = s.changed
	}
	v.whole = true
	data, err := parts()
	if err != nil {
		return err
	}
	return v.write("parts", fmt.Appendf(nil, `{"now":%d,"parts":%s}`, s.now.Add(time.Since(s.at)).UnixMilli(), data))
}

// look is how this viewer looks at the page for all of them. That goes on when the viewer leaves meanwhile.
func (v *viewer) look(w *watch) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.request.Context()), requestTimeout)
	defer cancel()
	defer context.AfterFunc(v.api.closing, cancel)()
	v.c.Request = v.request.WithContext(ctx)
	begin := time.Now()
	w.next = begin.Add(liveEvery)
	troubled := w.sight != nil && w.sight.trouble != ""
	at, err := v.checkpoints(ctx)
	if err == nil && !troubled && w.current(at, v.still) && begin.Sub(w.at) < liveBeat {
		return
	}
	w.at, w.seen = begin, at
	if err == nil {
		err = v.renew(ctx, w)
	}
	if err == nil {
		return
	}
	p := problemOf(err)
	w.next = begin.Add(liveRest)
	w.trouble(p.Title)
	if !troubled && p.Status >= http.StatusInternalServerError && v.api.closing.Err() == nil {
		v.api.slog.LogAttrs(ctx, slog.LevelWarn, "a live page cannot be read", slog.String("route", v.c.FullPath()), slog.Any("error", err))
	}
}

// checkpoints returns up to where the log is in the views, by partition.
func (v *viewer) checkpoints(ctx context.Context) (list []events.ID, err error) {
	for _, p := range v.api.log.Partitions() {
		at, err := v.api.views.Checkpoint(ctx, p)
		if err != nil && !errors.Is(err, views.ErrUnusable) { // a page that needs them will say so
			return nil, err
		}
		list = append(list, at)
	}
	return list, nil
}

// renew reads the page; of one that stays as it is, the time alone.
func (v *viewer) renew(ctx context.Context, w *watch) error {
	if v.still && w.parts != nil {
		now, err := v.api.log.Now(ctx)
		if err == nil {
			w.show(now, w.parts)
		}
		return err
	}
	now, page, err := v.api.look(v.c, v.read)
	if err != nil {
		return err
	}
	list, err := v.api.pages.Parts(page)
	if err != nil {
		return fmt.Errorf("render the live parts of %s: %w", v.c.FullPath(), err)
	}
	parts := make(map[string]string, len(list))
	for _, p := range list {
		parts[p.ID] = p.HTML
	}
	w.show(now, parts)
	return nil
}
