package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/api/wire"
)

// Line is one line of a bulk of tasks: what it asks for, or why it asks for nothing.
type Line struct {
	N       int // its number, from 1
	Request eventlog.Request
	Err     error
}

// Lines reads NDJSON whose lines are bodies of POST /api/tasks. A line that is wrong has an Err, alone. Blank
// lines are counted and left out. A line that is longer than a request may be is skipped to its end and not kept.
//
// An error of r is that of the line which it cut off: that one asks for nothing, and is the last.
func Lines(r io.Reader, maxPayload int) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		var line []byte
		for n := 1; ; n++ {
			var err error
			line, err = readLine(in, line[:0], maxPayload+maxEnvelope)
			l := Line{N: n}
			blank := len(bytes.Trim(line, " \t\r")) == 0
			switch ended := errors.Is(err, io.EOF); {
			case errors.Is(err, errLong):
				l.Err = tooLarge(fmt.Sprintf("the line is longer than %d bytes", maxPayload+maxEnvelope))
			case err != nil && !ended:
				l.Err = err
				yield(l)
				return
			case blank && ended:
				return
			case blank:
				continue
			default:
				l.Request, l.Err = parse("the line", line, maxPayload)
			}
			if !yield(l) {
				return
			}
		}
	}
}

var errLong = errors.New("a line is too long")

// readLine appends the next line to a buffer, without its end. It returns errLong for one of more than limit
// bytes, after it has read all of it, and io.EOF with what stands after the last end of a line.
func readLine(in *bufio.Reader, line []byte, limit int) ([]byte, error) {
	long := false
	for {
		part, err := in.ReadSlice('\n')
		if err == nil {
			part = part[:len(part)-1]
		}
		if long = long || len(line)+len(part) > limit; !long {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case long && (err == nil || errors.Is(err, io.EOF)):
			return line, errLong
		default:
			return line, err
		}
	}
}

// elements are those of a JSON array, which is valid.
func elements(array []byte, maxPayload int) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		dec := json.NewDecoder(bytes.NewReader(array))
		_, err := dec.Token() // [
		for n := 1; err == nil && dec.More(); n++ {
			var element json.RawMessage
			if err = dec.Decode(&element); err != nil {
				return // not reached: it is valid
			}
			l := Line{N: n}
			l.Request, l.Err = parse("the element", element, maxPayload)
			if !yield(l) {
				return
			}
		}
	}
}

// parse reads the body of one request.
func parse(what string, body []byte, maxPayload int) (eventlog.Request, error) {
	text, err := object(what, body)
	if err != nil {
		return eventlog.Request{}, err
	}
	return parseRequest(text, maxPayload, time.Now())
}

// size is about how many bytes a line takes in memory.
func (l Line) size() int { return len(l.Request.Payload) }

// Answer is what a line of a bulk is answered.
type Answer struct {
	Line    int // its number
	Receipt wire.Receipt
	Err     error // instead of the receipt
}

// MarshalJSON writes the number of the line, and a receipt or a problem as POST /api/tasks answers with it.
func (a Answer) MarshalJSON() ([]byte, error) {
	var v struct {
		Line int `json:"line"`
		*wire.Receipt
		*problem
	}
	if v.Line = a.Line; a.Err != nil {
		v.problem = problemOf(a.Err)
	} else {
		v.Receipt = &a.Receipt
	}
	return events.Marshal(v)
}

func tooLarge(detail string) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "too-large", "The request is too large", detail)
}
