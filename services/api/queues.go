package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
)

// pauseQueue serves POST /api/queues/:queue/pause.
func (a *API) pauseQueue(c *gin.Context) { a.setPaused(c, true, a.log.Pause) }

// resumeQueue serves POST /api/queues/:queue/resume.
func (a *API) resumeQueue(c *gin.Context) { a.setPaused(c, false, a.log.Resume) }

func (a *API) setPaused(c *gin.Context, paused bool, decide func(ctx context.Context, queue, by string) (bool, error)) {
	queue := param(c, "queue")
	err := events.ValidateName("queue", queue)
	if err == nil {
		err = optionalBody(c, nil)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	known, err := a.log.HasQueue(c.Request.Context(), queue) // before it is paused
	if err != nil {
		a.fail(c, err)
		return
	}
	changed, err := decide(c.Request.Context(), queue, by(c))
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		Queue   string `json:"queue"`
		Paused  bool   `json:"paused"`
		Changed bool   `json:"changed"`
		New     bool   `json:"new,omitempty"` // no task was ever asked for in it: is its name mistyped?
	}{queue, paused, changed, !known})
}
