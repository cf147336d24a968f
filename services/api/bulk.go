package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

const (
	bulkRoute = "/api/tasks/bulk"

	maxBulks     = 32       // under way at once
	maxArray     = 16 << 20 // bytes of a JSON array, or those of one request where that may have more
	maxUntaken   = 8 << 20  // bytes of answers that are ready and that the client has not taken
	bulkRequests = 1024     // that are asked for at once; as many are read meanwhile
	bulkBytes    = 4 << 20  // of their payloads, unless one has more
)

const (
	mediaJSON   = "application/json"
	mediaNDJSON = "application/x-ndjson"
)

// bulk serves POST /api/tasks/bulk: tasks as the lines of NDJSON, or as the elements of a JSON array. The status
// is 200 once the body is one of these; each line or element has an answer of its own, in order, that is a receipt
// or a problem as POST /api/tasks would answer, with its number.
//
// NDJSON may have any length and is answered while it is read. Of it and of its answers only so much is held in
// memory: a client that does not take answers while it sends is read until maxUntaken of them wait, and no further
// until it takes some. When for Config.ReadTimeout neither a line came nor an answer was taken, the request ends.
//
// When Redis does not take a line, none is asked for any more, and each after it is answered with that problem.
// What was taken stays so whatever becomes of the connection.
func (a *API) bulk(c *gin.Context) {
	kind, err := media(c.Request.Header, mediaJSON, mediaNDJSON)
	if err != nil {
		a.fail(c, err)
		return
	}
	if n := a.bulks.Add(1); n > maxBulks {
		a.bulks.Add(-1)
		p := newProblem(http.StatusServiceUnavailable, "too-many-bulks", "Too many bulks are under way", fmt.Sprintf("%d are the most", maxBulks))
		p.retryAfter = 5
		a.fail(c, p)
		return
	}
	defer a.bulks.Add(-1)
	b := &bulk{api: a, c: c, rc: http.NewResponseController(c.Writer)}
	if kind == mediaNDJSON {
		b.follow()
		return
	}
	array, err := readBody(c.Writer, c.Request, max(maxArray, int64(a.cfg.MaxPayload)+maxEnvelope))
	if err == nil {
		err = valid("the body", array)
	}
	if err == nil && bytes.TrimSpace(array)[0] != '[' {
		err = malformed("the body must be a JSON array")
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	b.answer(layout{media: kind, begin: "[", between: ",", end: "]\n"}, elements(array, a.cfg.MaxPayload))
}

// bulk is one request for many tasks.
type bulk struct {
	api *API
	c   *gin.Context
	rc  *http.ResponseController

	mu    sync.Mutex
	alive time.Time // when its client last did something
	over  bool      // nothing is read any more

	logged bool // an error; known to who asks only
}

// follow answers NDJSON while it is read.
func (b *bulk) follow() {
	_ = b.rc.EnableFullDuplex() // a writer that cannot is a test's
	defer context.AfterFunc(b.api.closing, b.end)()
	body := func(yield func(Line) bool) {
		b.lives()
		for line := range Lines(b, b.api.cfg.MaxPayload) {
			if !yield(line) {
				return
			}
			b.lives() // after the line had its way: that may take longer than a client is waited for
		}
	}
	b.answer(layout{media: mediaNDJSON, after: "\n"}, body)
}

// Read reads the body. Its errors are problems.
func (b *bulk) Read(p []byte) (int, error) {
	n, err := b.c.Request.Body.Read(p)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case b.api.closing.Err() != nil:
		return n, newProblem(http.StatusServiceUnavailable, "unavailable", "The service is stopping",
			"neither this line nor any after it was asked for; send them again")
	}
	return n, unread(err)
}

// lives gives the client time anew, to send a line and to take answers.
func (b *bulk) lives() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.over || now.Sub(b.alive) < b.api.cfg.ReadTimeout/10 {
		return
	}
	b.alive = now
	until := now.Add(b.api.cfg.ReadTimeout)
	_ = b.rc.SetReadDeadline(until) // a writer without deadlines is a test's
	_ = b.rc.SetWriteDeadline(until)
}

// end lets nothing more be read.
func (b *bulk) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	_ = b.rc.SetReadDeadline(time.Now())
}

// layout is what stands around answers.
type layout struct{ media, begin, between, after, end string }

// answer asks for lines and writes their answers, as they come.
func (b *bulk) answer(l layout, lines iter.Seq[Line]) {
	b.c.Header("Content-Type", l.media)
	b.c.Header("X-Accel-Buffering", "no") // a proxy must not hold answers back
	b.c.Status(http.StatusOK)
	encoded := func(yield func([]byte) bool) {
		for a := range b.ask(lines) {
			answer, err := a.MarshalJSON()
			if err != nil || !yield(answer) { // it can always be encoded
				return
			}
		}
	}
	var out bytes.Buffer
	out.WriteString(l.begin)
	between := ""
	for answers := range eventlog.Gather(encoded, math.MaxInt, maxUntaken, func(answer []byte) int { return len(answer) }) {
		for _, answer := range answers {
			out.WriteString(between)
			out.Write(answer)
			out.WriteString(l.after)
			between = l.between
		}
		if err := b.write(&out); err != nil {
			b.end() // so that the lines give way
			return
		}
	}
	out.WriteString(l.end)
	_ = b.write(&out) // the client has gone, or has all
}

// write writes and empties a buffer. The client has time anew to take each part, and longer while it sends lines.
func (b *bulk) write(out *bytes.Buffer) error {
	for out.Len() > 0 {
		_ = b.rc.SetWriteDeadline(time.Now().Add(b.api.cfg.ReadTimeout)) // a writer without deadlines is a test's
		if _, err := b.c.Writer.Write(out.Next(64 << 10)); err != nil {
			return err
		}
	}
	b.c.Writer.Flush()
	return nil
}

// ask asks for lines, in their order, and yields the answer to each.
func (b *bulk) ask(lines iter.Seq[Line]) iter.Seq[Answer] {
	return func(yield func(Answer) bool) {
		trace := traceparent(b.c.Request.Header)
		var over error // why none is asked for any more
		for batch := range eventlog.Gather(lines, bulkRequests, bulkBytes, Line.size) {
			answers := make([]Answer, len(batch))
			var (
				requests []eventlog.Request
				open     []*Answer // to each of them
			)
			for i, line := range batch {
				if answers[i] = (Answer{Line: line.N, Err: line.Err}); line.Err == nil {
					answers[i].Err = over
				}
				if answers[i].Err == nil {
					line.Request.Traceparent = trace
					requests, open = append(requests, line.Request), append(open, &answers[i])
				}
			}
			if len(requests) > 0 {
				over = b.request(requests, open)
			}
			for _, answer := range answers {
				if !yield(answer) {
					return
				}
			}
		}
	}
}

// request asks for tasks, whose lines were read whole: so it does even if their client has gone since. It fills in
// the answers, and returns that to all lines that follow, if Redis did not take one of these.
func (b *bulk) request(requests []eventlog.Request, answers []*Answer) (over error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.c.Request.Context()), requestTimeout)
	defer cancel()
	if err := b.api.log.Conn().Admit(ctx, b.api.cfg.MaxMemory, requests...); err != nil {
		for _, answer := range answers {
			answer.Err = err
		}
		b.log(err)
		return err
	}
	crashpoint.Hit(crashpoint.APIBeforeRequest)
	got := b.api.log.RequestMany(ctx, requests)
	crashpoint.Hit(crashpoint.APIAfterRequest)
	for i, answer := range answers {
		answer.Receipt, answer.Err = receipt(got[i].Receipt), got[i].Err
		if answer.Err != nil {
			b.log(answer.Err)
		}
		if eventlog.Unavailable(answer.Err) {
			over = unasked(answer.Err)
		}
	}
	return over
}

// unasked is the problem of a line that was not asked for, because one before it met with an error.
func unasked(err error) *problem {
	p := *problemOf(err)
	if strings.HasSuffix(p.Type, unavailable) {
		p.Detail = "it did not answer for a line before this one, which was not asked for; ask again later"
	}
	return &p
}

// log tells of the first error that is none of the client's.
func (b *bulk) log(err error) {
	if b.logged {
		return
	}
	b.logged = true
	b.api.slog.LogAttrs(b.c.Request.Context(), slog.LevelError, "lines of a bulk failed",
		slog.String("request", b.c.Writer.Header().Get(requestIDHeader)), slog.Any("first", err))
}
