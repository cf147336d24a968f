package api

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const streamRoute = "/api/events"

// stream serves GET /api/events: server-sent events, one an entry of the log.
//
// The id of each is a position from which every partition can be resumed: with one partition the
// entry id, with several the entry ids of all, in order, between commas. A lone entry id, such as 0-0
// for the beginning, resumes after it in all partitions. Without a position the stream begins now.
func (a *API) stream(c *gin.Context) {
	s, err := a.newStream(c)
	if err != nil {
		a.fail(c, err)
		return
	}
	leave, err := a.admitStream()
	if err != nil {
		a.fail(c, err)
		return
	}
	defer leave()
	defer s.leave()
	ctx, cancel := context.WithCancel(c.Request.Context())
	defer cancel()
	defer context.AfterFunc(a.closing, cancel)() // a stream ends with the service
	if err := s.catchUp(ctx); err != nil {
		if s.begun {
			return // the client comes back and resumes
		}
		a.fail(c, err)
		return
	}
	s.live(ctx)
}

// stream is one event stream.
type stream struct {
	*sse
	api    *API
	pages  *eventlog.Pages // of what came before
	filter filter
	parts  []int       // partitions that can hold what the filter lets through
	pos    []events.ID // by partition: all up to here was sent or filtered out
	resume bool        // pos came from the client
	sent   string      // the last id that the client was told
	sub    *subscriber
}

// filter lets events through; what is empty lets all.
type filter struct {
	task, queue string
	types       []string
}

func (f filter) match(e events.Event) bool {
	return e.Data != nil &&
		(f.task == "" || e.Task == f.task) &&
		(f.queue == "" || e.Data.About().Queue == f.queue) &&
		(len(f.types) == 0 || slices.Contains(f.types, string(e.Data.Type())))
}

// newStream reads what a client wants to follow, and from where.
func (a *API) newStream(c *gin.Context) (*stream, error) {
	q, err := query(c, "task", "type", "queue", "lastEventId")
	if err != nil {
		return nil, err
	}
	s := &stream{
		sse: newSSE(c.Writer), api: a, sub: newSubscriber(), pages: a.log.Pages(feedBatch),
		filter: filter{task: q.Get("task"), queue: q.Get("queue"), types: q["type"]},
		pos:    make([]events.ID, len(a.feeds)),
	}
	for _, typ := range s.filter.types {
		if !slices.Contains(events.Types, events.Type(typ)) {
			return nil, &events.FieldError{Field: "type", Reason: fmt.Sprintf("%q is no event type", quoted(typ))}
		}
	}
	for i := range a.feeds {
		if s.filter.task == "" || a.log.Of(s.filter.task).N == i {
			s.parts = append(s.parts, i)
		}
	}
	from := c.GetHeader("Last-Event-ID")
	if from == "" {
		from = q.Get("lastEventId")
	}
	if from == "" {
		return s, nil
	}
	s.resume = true
	ids := strings.Split(from, ",")
	if len(ids) != 1 && len(ids) != len(s.pos) {
		return nil, &events.FieldError{Field: "lastEventId", Reason: fmt.Sprintf("has %d ids for %d partitions", len(ids), len(s.pos))}
	}
	for i := range s.pos {
		if s.pos[i], err = events.ParseID(ids[min(i, len(ids)-1)]); err != nil {
			return nil, &events.FieldError{Field: "lastEventId", Reason: err.Error()}
		}
	}
	return s, nil
}

// catchUp sends what lies between the client's position and now, and joins the feeds.
func (s *stream) catchUp(ctx context.Context) error {
	for again := s.resume; again; { // near the end by reads of our own: then little is left to buffer
		again = false
		for _, i := range s.parts {
			more, err := s.page(ctx, i, events.MaxID)
			if err != nil {
				return err
			}
			again = again || more
		}
	}
	joined := make(map[int]events.ID, len(s.parts))
	for _, i := range s.parts {
		at, err := s.api.feeds[i].join(ctx, s.sub)
		if err != nil {
			return err
		}
		joined[i] = at
	}
	for _, i := range s.parts {
		for s.resume && s.pos[i].Compare(joined[i]) < 0 {
			more, err := s.page(ctx, i, joined[i])
			if err != nil {
				return err
			}
			if !more {
				break
			}
		}
		if s.pos[i].Compare(joined[i]) < 0 {
			s.pos[i] = joined[i]
		}
	}
	return s.flush() // the head, if nothing else
}

// page sends one page of a partition up to an id, and reports whether there may be more.
func (s *stream) page(ctx context.Context, part int, until events.ID) (more bool, err error) {
	entries, more, err := s.pages.Range(ctx, s.api.feeds[part].part, s.pos[part], until)
	if err != nil {
		return false, err
	}
	return more, s.send(s.api.frames(ctx, part, entries))
}

// live sends what the feeds deliver, until the client leaves, is too slow, or ctx ends.
func (s *stream) live(ctx context.Context) {
	heartbeat := time.NewTicker(s.api.cfg.Heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-s.sub.slow:
			return
		case batch := <-s.sub.batches:
			heartbeat.Reset(s.api.cfg.Heartbeat)
			err = s.send(batch)
		case <-heartbeat.C:
			err = s.beat()
		}
		if err != nil {
			return
		}
	}
}

// send writes the frames that the filter lets through, and moves the position over all of them.
func (s *stream) send(batch []frame) error {
	for _, f := range batch {
		if f.id.Compare(s.pos[f.part]) <= 0 {
			continue // sent while catching up
		}
		s.pos[f.part] = f.id
		if s.filter.match(f.event) {
			s.sent = s.position()
			_, _ = fmt.Fprintf(&s.out, "id: %s\nevent: %s\ndata: %s\n\n", s.sent, f.event.Data.Type(), f.json)
		}
	}
	if s.out.Len() == 0 {
		return nil
	}
	return s.flush()
}

// beat writes a sign of life. An id without data tells the client, and runs no listener: it will not
// have to read again what the filter held back.
func (s *stream) beat() error {
	s.out.WriteString(": alive\n")
	if at := s.position(); at != s.sent {
		s.sent = at
		s.out.WriteString("id: " + at + "\n")
	}
	s.out.WriteString("\n")
	return s.flush()
}

// position is the id from which all partitions can be resumed.
func (s *stream) position() string {
	if len(s.pos) == 1 {
		return s.pos[0].String()
	}
	ids := make([]string, len(s.pos))
	for i, id := range s.pos {
		ids[i] = id.String()
	}
	return strings.Join(ids, ",")
}

// flush writes what is collected, and drops a client that does not take it in time.
func (s *stream) flush() error {
	err := s.sse.flush()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.api.drop(s.sub)
	}
	return err
}

func (s *stream) leave() {
	for _, i := range s.parts {
		s.api.feeds[i].leave(s.sub)
	}
}
