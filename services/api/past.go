package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/sync/semaphore"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/past"
	"github.com/tasklog/tasklog/projections/asof"
	"github.com/tasklog/tasklog/services/api/wire"
)

const (
	// rememberedViews and rememberedTasks are how many views of the past are kept for the next request, which is
	// often one for the next page or for another list as of the same instant.
	rememberedViews = 8
	rememberedTasks = 500_000

	// settled is how long ago an instant is up to which no event is added any more, however late it is written.
	settled = 5 * time.Second
)

// memory has the views of the past that were asked for last. One is made at a time: that takes a second's work and
// some memory.
type memory struct {
	turn *semaphore.Weighted // of the one that reads the past
	list []remembered        // the newest first
}

type remembered struct {
	until events.ID
	view  *asof.View // not to be changed
}

func newMemory() *memory { return &memory{turn: semaphore.NewWeighted(1)} }

// inTurn reads when its turn comes, and reports whether it had to wait for that.
func (m *memory) inTurn(ctx context.Context, read func(context.Context) error) (waited bool, err error) {
	if waited = !m.turn.TryAcquire(1); waited {
		if err := m.turn.Acquire(ctx, 1); err != nil {
			return waited, err
		}
	}
	defer m.turn.Release(1)
	return waited, read(ctx)
}

// get returns the view as of an instant, and has it made when it is not there. The caller has the turn.
func (m *memory) get(until events.ID, keep bool, make func() (*asof.View, error)) (*asof.View, error) {
	for _, r := range m.list {
		if r.until == until {
			return r.view, nil
		}
	}
	v, err := make()
	if err != nil || !keep || v.Len() > rememberedTasks {
		return v, err
	}
	m.list = append([]remembered{{until, v}}, m.list...)
	tasks := 0
	for i, r := range m.list {
		if tasks += r.view.Len(); i == rememberedViews || tasks > rememberedTasks {
			m.list = m.list[:i]
			break
		}
	}
	return v, nil
}

// moment is an instant of the past, and the time at which it was asked for.
type moment struct {
	events.ID
	now time.Time
}

// momentOf reads the instant that a query names; nil when it names none, for then it asks for now.
func (a *API) momentOf(c *gin.Context, at string) (*moment, error) {
	if at == "" {
		return nil, nil
	}
	wrong := func(why string) error {
		p := malformed(why)
		p.Field = "at"
		return p
	}
	now, err := a.log.Now(c.Request.Context())
	if err != nil {
		return nil, err
	}
	until, err := events.ParseInstant(at, now)
	if err != nil {
		return nil, wrong("at: " + err.Error())
	}
	if until.Ms > now.UnixMilli() {
		return nil, wrong(fmt.Sprintf("at: %s lies in the future: Redis' clock says %s", events.FormatInstant(until), wire.Stamp(now.UnixMilli())))
	}
	return &moment{until, now}, nil
}

// errPastLimit ends a reading of the past that takes too long.
var errPastLimit = errors.New("reading the past took too long")

// readPast reads what was true at an instant when its turn comes. What takes too long while Redis answers is a
// problem of its own: asking again helps who had to wait for another, and nobody else.
func (a *API) readPast(ctx context.Context, until events.ID, read func(context.Context) error) error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// No deadline, of which the Redis client would make its own error: a Redis that does not answer is one that does
	// not within the time of the request.
	defer time.AfterFunc(a.cfg.PastTimeout, func() { cancel(errPastLimit) }).Stop()
	waited, err := a.memory.inTurn(limited, read)
	if err == nil || !errors.Is(context.Cause(limited), errPastLimit) {
		return err
	}
	if _, away := a.log.Now(ctx); away != nil { // so the limit passed while Redis did not answer
		return away
	}
	if waited {
		p := newProblem(http.StatusServiceUnavailable, "past-busy", "The past is being read for another request",
			"one request at a time reads it; ask again later")
		p.retryAfter = 5
		return p
	}
	p := newProblem(http.StatusGatewayTimeout, "far-past", "That instant is far from a snapshot", fmt.Sprintf(
		"reading the log from the nearest snapshot before it took longer than %s. `tasklog at %s` takes the time that it needs. "+
			"A projector makes snapshots: more of them, from then on, with a smaller TASKLOG_SNAPSHOT_EVERY",
		a.cfg.PastTimeout, events.FormatInstant(until)))
	p.Field = "at"
	return p
}

// viewAt returns how things stood at an instant.
func (a *API) viewAt(ctx context.Context, at *moment) (v *asof.View, err error) {
	keep := at.Ms < at.now.Add(-settled).UnixMilli()
	err = a.readPast(ctx, at.ID, func(ctx context.Context) (err error) {
		v, err = a.memory.get(at.ID, keep, func() (*asof.View, error) { return a.past.At(ctx, at.ID) })
		return err
	})
	return v, err
}

// asOf is what an answer about the past has beside that of now.
type asOf struct {
	At   string `json:"at"`
	AsOf string `json:"asOf,omitempty"` // entry of the newest event that is counted
}

func asOfEntry(until, newest events.ID) asOf {
	w := asOf{At: events.FormatInstant(until)}
	if !newest.IsZero() {
		w.AsOf = newest.String()
	}
	return w
}

// listQueuesAt serves GET /api/queues?at=.
func (a *API) listQueuesAt(c *gin.Context, at *moment) {
	v, err := a.viewAt(c.Request.Context(), at)
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		Queues []wire.Queue `json:"queues"`
		asOf
		Missed int64 `json:"missed"`
	}{wire.QueuesOf(&v.Queues), asOfEntry(at.ID, v.Last), v.Missed})
}

// listTasksAt serves GET /api/tasks?at=. A page after the first is one of the instant of the first.
func (a *API) listTasksAt(c *gin.Context, at *moment, q taskQuery) {
	if q.searches() {
		a.fail(c, &events.FieldError{Field: "at", Reason: "cannot be combined with q, from and to: those look at the present"})
		return
	}
	var behind past.Cursor
	if q.Cursor != "" {
		var err error
		if behind, err = past.ParseCursor(q.Cursor); err != nil {
			a.fail(c, err)
			return
		}
		at.ID = behind.Until
	}
	v, err := a.viewAt(c.Request.Context(), at)
	if err != nil {
		a.fail(c, err)
		return
	}
	page, err := past.List(v, at.ID, behind, q.Filter)
	if err != nil {
		a.fail(c, err)
		return
	}
	wrong, err := a.log.Errors(c.Request.Context(), page.Tasks)
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		Tasks []wire.Task `json:"tasks"`
		Next  string      `json:"next,omitempty"`
		asOf
	}{wire.TasksOf(page.Tasks, wrong), page.Next, asOfEntry(at.ID, v.Last)})
}

// taskAt serves GET /api/tasks/:id?at=.
func (a *API) taskAt(c *gin.Context, at *moment) {
	var t events.Task
	var entries []eventlog.Entry
	err := a.readPast(c.Request.Context(), at.ID, func(ctx context.Context) (err error) { // it may have to make a view, too
		t, entries, err = a.past.Task(ctx, param(c, "id"), at.ID, false)
		return err
	})
	if err != nil {
		a.fail(c, err)
		return
	}
	d, err := wire.DetailOf(t, a.decodable(c, entries), 0)
	if err != nil {
		a.fail(c, err)
		return
	}
	answer(c, http.StatusOK, struct {
		wire.Detail
		asOf
	}{d, asOfEntry(at.ID, t.Events[len(t.Events)-1])})
}
