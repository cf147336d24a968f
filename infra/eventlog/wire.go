package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
)

// stream is Range of what is in the stream. Replays read millions of entries: the reply is taken as the bytes that
// Redis sent, for which go-redis would make some twenty values of each entry.
func (l *Log) stream(ctx context.Context, p Partition, after, until events.ID, n int) ([]Entry, error) {
	cmd := redis.NewRawCmd(ctx, "XRANGE", p.Events, "("+after.String(), until.String(), "COUNT", n)
	err := l.conn.View.Process(ctx, cmd)
	if sent := cmd.Val(); err == nil && len(sent) > 0 && sent[0] == '-' {
		v, err := l.xrange(ctx, p, after, until, n) // which knows what errors mean
		return entries(v), err
	}
	var list []Entry
	if err == nil {
		list, err = parseEntries(string(cmd.Val()))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s after %s: %w", p.Events, after, err)
	}
	return list, nil
}

// parseEntries decodes a reply of XRANGE.
func parseEntries(s string) ([]Entry, error) {
	w := wire{rest: s}
	n := w.length('*')
	list := make([]Entry, 0, n)
	for range n {
		if pair := w.length('*'); pair != 2 {
			return nil, errors.Join(w.err, fmt.Errorf("an entry of %d parts: want its id and its fields", pair))
		}
		list = append(list, w.entry())
		if w.err != nil {
			return nil, w.err
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return list, nil
}

// wire is what is left of a reply of Redis.
type wire struct {
	rest string
	err  error
}

// length reads the length of an array ('*') or of a string ('$').
func (w *wire) length(kind byte) int {
	line, rest, found := strings.Cut(w.rest, "\r\n")
	if !found || line == "" || line[0] != kind {
		return w.fail()
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil || n < 0 || n > len(rest) {
		return w.fail()
	}
	w.rest = rest
	return n
}

func (w *wire) fail() int {
	if w.err == nil {
		w.err = fmt.Errorf("a reply goes on with %.100q", w.rest)
	}
	return 0
}

// text reads a string. It is a piece of the reply, and keeps all of it in memory.
func (w *wire) text() string {
	n := w.length('$')
	if w.err != nil || len(w.rest) < n+2 {
		w.fail()
		return ""
	}
	s := w.rest[:n]
	w.rest = w.rest[n+2:]
	return s
}

// entry reads an entry: its id, and names and values.
func (w *wire) entry() Entry {
	id := w.text()
	n := w.length('*')
	if n != 8 || w.err != nil {
		return w.other(id, nil, n)
	}
	bytes := len(id)
	var values [8]string
	for i := range values {
		values[i] = w.text()
		bytes += len(values[i])
	}
	if values[0] != events.FieldType || values[2] != events.FieldTask || values[4] != events.FieldVersion || values[6] != events.FieldData {
		return w.other(id, values[:], 0)
	}
	e, err := events.DecodeFields(id, values[1], strings.Clone(values[3]), values[5], values[7])
	return made(id, bytes, e, err)
}

// other decodes an entry that is not written as this program does: values were read, and so many are to come.
func (w *wire) other(id string, values []string, more int) Entry {
	for range more {
		values = append(values, w.text())
	}
	if w.err != nil {
		return Entry{}
	}
	raw := Raw{Fields: values}
	return entry(id, len(id)+raw.Size(), func(field string) (string, bool) {
		v, ok := raw.get(field)
		return strings.Clone(v), ok
	})
}
