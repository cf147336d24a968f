package eventlog

import (
	"context"
	"fmt"

	"github.com/tasklog/tasklog/events"
)

// Raw is one entry as the stream has it, whether or not it is an event.
type Raw struct {
	ID     events.ID
	Fields []string // name, value, name, value …: in their order, with whatever bytes are in them
}

// Entry decodes it, as the reads of a Log do.
func (r Raw) Entry() Entry {
	id := r.ID.String()
	return entry(id, len(id)+r.Size(), r.get)
}

func (r Raw) place() events.ID { return r.ID }

// Size is how many bytes its fields have.
func (r Raw) Size() (n int) {
	for _, f := range r.Fields {
		n += len(f)
	}
	return n
}

// Field returns the value of a field, or "".
func (r Raw) Field(name string) string {
	v, _ := r.get(name)
	return v
}

func (r Raw) get(field string) (string, bool) {
	for i := 0; i+1 < len(r.Fields); i += 2 {
		if r.Fields[i] == field {
			return r.Fields[i+1], true
		}
	}
	return "", false
}

// Raw returns at most n entries of the stream of a partition after an id and not after until, oldest
// first, as they are: for a copy that loses nothing.
func (l *Log) Raw(ctx context.Context, p Partition, after, until events.ID, n int) ([]Raw, error) {
	v, err := l.xrange(ctx, p, after, until, n)
	if err != nil {
		return nil, err
	}
	return raws(p, after, v)
}

// Verbatim is Range of entries as they are.
func (l *Log) Verbatim(ctx context.Context, p Partition, after, until events.ID, n int) ([]Raw, error) {
	if l.older == nil {
		return l.Raw(ctx, p, after, until, n)
	}
	return across(ctx, l, p, after, until, n, l.older.Raw, l.Raw)
}

// raws reads a reply of XRANGE.
func raws(p Partition, after events.ID, v []any) ([]Raw, error) {
	out := make([]Raw, 0, len(v))
	for _, item := range v {
		pair, _ := item.([]any)
		if len(pair) != 2 {
			continue
		}
		id, err := events.ParseID(text(pair[0]))
		if err != nil {
			return nil, fmt.Errorf("read %s after %s: %w", p.Events, after, err)
		}
		values, _ := pair[1].([]any)
		fields := make([]string, len(values))
		for i, f := range values {
			fields[i] = text(f)
		}
		out = append(out, Raw{id, fields})
	}
	return out, nil
}
