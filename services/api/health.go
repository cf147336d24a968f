package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/infra/eventlog"
)

// healthz says that the process lives.
func healthz(c *gin.Context) { c.String(http.StatusOK, "ok\n") }

const readyTimeout = 2 * time.Second

// readyz says that Redis answers, and that decisions can be taken. It needs no token: where a log went it does not tell.
func (a *API) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	if err := a.log.Ready(ctx); err != nil {
		if eventlog.Closed(err) {
			p := problemOf(err)
			p.Detail, err = "", p
		}
		a.fail(c, err)
		return
	}
	c.String(http.StatusOK, "ready\n")
}
