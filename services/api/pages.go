package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/services/api/dashboard"
)

// A reader reads what a page shows, for one look at it. The Base of the page is already known.
type reader func(c *gin.Context, b dashboard.Base) (dashboard.Page, error)

// page serves a page, or the stream of its live parts. A page is read in full and rendered in full before
// the first byte of it is sent.
func (a *API) page(read reader) gin.HandlerFunc { return a.serve(read, false) }

// stillPage serves a page whose live parts do not change.
func (a *API) stillPage(read reader) gin.HandlerFunc { return a.serve(read, true) }

func (a *API) serve(read reader, still bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		if wantsStream(c) {
			a.live(c, read, still)
			return
		}
		ctx, cancel := context.WithTimeout(c.Request.Context(), requestTimeout)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		_, page, err := a.look(c, read)
		if err != nil {
			a.failPage(c, err)
			return
		}
		a.render(c, http.StatusOK, page)
	}
}

// look reads a page as it is now, by Redis' clock.
func (a *API) look(c *gin.Context, read reader) (now time.Time, page dashboard.Page, err error) {
	if now, err = a.log.Now(c.Request.Context()); err != nil {
		return now, nil, err
	}
	b := a.base(c)
	b.Now = now
	page, err = read(c, b)
	return now, page, err
}

func (a *API) base(c *gin.Context) dashboard.Base {
	origin := url.URL{Scheme: "http", Host: c.Request.Host}
	if c.Request.TLS != nil || c.GetHeader("X-Forwarded-Proto") == "https" {
		origin.Scheme = "https"
	}
	return dashboard.Base{URL: c.Request.URL, Origin: origin.String(), Tokens: a.tokens != nil}
}

func (a *API) render(c *gin.Context, status int, page dashboard.Page) {
	var b bytes.Buffer
	if err := a.pages.Render(&b, page); err != nil {
		a.fail(c, err)
		return
	}
	c.Data(status, "text/html; charset=utf-8", b.Bytes())
}

// failPage is fail for people: a page that says what is wrong.
func (a *API) failPage(c *gin.Context, err error) {
	if p := a.judge(c, err); p != nil {
		a.render(c, p.Status, dashboard.NoticePage{Base: a.base(c), Title: p.Title, Detail: p.Detail})
	}
}

// asset serves GET /admin/assets/:file.
func (a *API) asset(c *gin.Context) {
	data, mediaType, ok := a.pages.Asset(param(c, "file"))
	if !ok {
		a.fail(c, notFound("there is no such file"))
		return
	}
	c.Data(http.StatusOK, mediaType, data)
}

// maxShown is how many bytes of JSON a page shows; GET /api/tasks/:id has all of it.
const maxShown = 64 << 10

// indent spreads JSON over lines for people.
func indent(data []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, data, "", "  ") != nil {
		b.Reset()
		b.Write(data)
	}
	if b.Len() > maxShown {
		b.Truncate(maxShown)
		b.WriteString("\n…")
	}
	return b.String()
}
