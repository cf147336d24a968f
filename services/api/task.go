package api

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
)

// encodeEvent returns an event as one line of JSON.
func encodeEvent(e events.Event) ([]byte, error) {
	v, err := wire.EventOf(e)
	if err != nil {
		return nil, err
	}
	return events.Marshal(v)
}

// told is a task as the log tells it.
type told struct {
	task    events.Task
	history []events.Event
	gone    int // events of it that the log does not hold any more
}

// taskAndHistory reads the task that the path names, with its events.
func (a *API) taskAndHistory(c *gin.Context) (told, error) {
	id, err := taskID(c)
	if err != nil {
		return told{}, err
	}
	t, err := a.log.Task(c.Request.Context(), id)
	if err != nil {
		return told{}, err
	}
	entries, err := a.log.History(c.Request.Context(), t)
	if err != nil {
		return told{}, err
	}
	return told{t, a.decodable(c, entries), len(t.Events) - len(entries)}, nil
}

// decodable returns the events among entries, and counts and logs the others.
func (a *API) decodable(c *gin.Context, entries []eventlog.Entry) []events.Event {
	list := make([]events.Event, 0, len(entries))
	for _, e := range entries {
		if e.Err != nil {
			a.skip(c.Request.Context(), e.ID)
			continue
		}
		list = append(list, e.Event)
	}
	return list
}

// task serves GET /api/tasks/:id.
func (a *API) task(c *gin.Context) {
	at, err := a.momentOf(c, c.Query("at"))
	if err != nil {
		a.fail(c, err)
		return
	}
	if at != nil {
		a.taskAt(c, at)
		return
	}
	t, err := a.taskAndHistory(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	d, err := wire.DetailOf(t.task, t.history, t.gone)
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, d)
}

// retry serves POST /api/tasks/:id/retry.
func (a *API) retry(c *gin.Context) {
	a.act(c, optionalBody(c, nil), func(id string) (events.ID, error) {
		request, err := uuid.NewV7() // each call asks anew
		if err != nil {
			return events.ID{}, fmt.Errorf("retry task %s: %w", id, err)
		}
		return a.log.Retry(c.Request.Context(), id, by(c), request.String())
	})
}

// cancel serves POST /api/tasks/:id/cancel.
func (a *API) cancel(c *gin.Context) {
	reason, err := reasonBody(c)
	a.act(c, err, func(id string) (events.ID, error) {
		return a.log.Cancel(c.Request.Context(), id, by(c), reason)
	})
}

// act takes a decision about the task that the path names, and answers with the task as it is then.
func (a *API) act(c *gin.Context, wrong error, decide func(id string) (events.ID, error)) {
	id, err := taskID(c)
	if err == nil {
		err = wrong
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	event, err := decide(id)
	if err != nil {
		a.fail(c, err)
		return
	}
	t, err := a.log.Task(c.Request.Context(), id)
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		wire.Task
		EventID string `json:"eventId"`
	}{wire.TaskOf(t), event.String()})
}

// taskID returns the id that the path names. One that no task can have is not found: it must not
// become part of a key.
func taskID(c *gin.Context) (string, error) {
	id := param(c, "id")
	if events.ValidateName("id", id) != nil {
		return "", eventlog.ErrNotFound
	}
	return id, nil
}
