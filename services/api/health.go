package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// healthz says that the process lives.
func healthz(c *gin.Context) { c.String(http.StatusOK, "ok\n") }

const readyTimeout = 2 * time.Second

// readyz says that Redis answers.
func (a *API) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	if err := a.log.Conn().Ping(ctx); err != nil {
		a.fail(c, err)
		return
	}
	c.String(http.StatusOK, "ready\n")
}
