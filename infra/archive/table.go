package archive

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Row is one entry in the Parquet file of a segment. A column that the entry has nothing for is null.
type Row struct {
	ID      string  `parquet:"id"`
	Time    int64   `parquet:"time,timestamp(millisecond)"` // by Redis' clock, UTC
	Ms      int64   `parquet:"ms,delta"`
	Seq     uint64  `parquet:"seq"`
	Type    *string `parquet:"type,optional,dict"`
	Task    *string `parquet:"task,optional"` // null for an event about a queue
	Version *int64  `parquet:"v,optional"`
	Queue   *string `parquet:"queue,optional,dict"`
	Name    *string `parquet:"name,optional,dict"`
	Attempt *int64  `parquet:"attempt,optional"`
	Worker  *string `parquet:"worker,optional,dict"`
	DueAt   *int64  `parquet:"dueAt,optional"`   // ms since the Unix epoch
	DelayMs *int64  `parquet:"delayMs,optional"` // of TaskRequested
	WaitMs  *int64  `parquet:"waitMs,optional"`  // of TaskStarted
	RunMs   *int64  `parquet:"runMs,optional"`   // of TaskCompleted and TaskFailed
	Reason  *string `parquet:"reason,optional,dict"`
	RetryAt *int64  `parquet:"retryAt,optional"`    // ms since the Unix epoch
	Data    *string `parquet:"data,optional"`       // the body: JSON, but for entries that are no events
	NoEvent *string `parquet:"noEvent,optional"`    // why the entry is no event; then columns but the first four may be null
	Foreign int64   `parquet:"foreignFields,delta"` // fields that are not ours; they are in the NDJSON file alone
}

// rowOf returns the row of an entry.
func rowOf(r eventlog.Raw) Row {
	row := Row{ID: r.ID.String(), Time: r.ID.Ms, Ms: r.ID.Ms, Seq: r.ID.Seq}
	for i := 0; i+1 < len(r.Fields); i += 2 {
		value := r.Fields[i+1]
		switch r.Fields[i] {
		case events.FieldType:
			row.Type = some(value)
		case events.FieldTask:
			row.Task = some(value)
		case events.FieldData:
			row.Data = some(value)
		case events.FieldVersion:
			if v, err := strconv.ParseInt(value, 10, 64); err == nil {
				row.Version = &v
			}
		default:
			row.Foreign++
		}
	}
	e := r.Entry()
	if e.Err != nil {
		row.NoEvent = some(e.Err.Error())
		return row
	}
	label := e.Data.About()
	row.Queue, row.Name = some(label.Queue), some(label.Name)
	row.body(e.Data)
	return row
}

// body fills the columns that a body has.
func (r *Row) body(d events.Data) {
	switch d := d.(type) {
	case events.TaskRequested:
		r.DueAt, r.DelayMs = &d.DueAt, &d.DelayMs
	case events.TaskDue:
		r.Attempt, r.DueAt = new(int64(d.Attempt)), &d.DueAt
	case events.TaskStarted:
		r.Attempt, r.Worker, r.WaitMs = new(int64(d.Attempt)), some(d.Worker), &d.WaitMs
	case events.TaskCompleted:
		r.Attempt, r.Worker, r.RunMs = new(int64(d.Attempt)), some(d.Worker), &d.RunMs
	case events.TaskFailed:
		r.Attempt, r.Worker, r.RunMs, r.Reason, r.RetryAt = new(int64(d.Attempt)), some(d.Worker), &d.RunMs, some(string(d.Reason)), above(d.RetryAt)
	case events.TaskReleased:
		r.Attempt, r.Worker, r.Reason, r.RetryAt = new(int64(d.Attempt)), some(d.Worker), some(string(d.Reason)), above(d.RetryAt)
	case events.TaskCancelled:
		r.Reason = some(d.Reason)
	case events.TaskRetryRequested, events.QueuePaused, events.QueueResumed:
	}
}

// some and above return nil for what is not there.
func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func above(ms int64) *int64 {
	if ms == 0 {
		return nil
	}
	return &ms
}

// rowGroup is how many rows are written, and held as columns, at a time.
const rowGroup = 10_000

// encodeTable returns the Parquet file of the entries of a segment.
func encodeTable(entries *lines) ([]byte, error) {
	var out bytes.Buffer
	w := parquet.NewGenericWriter[Row](&out, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(rowGroup),
		parquet.CreatedBy("tasklog", strconv.Itoa(Format), "")) // and not by which release: the same entries make the same file
	for i := range entries.ids {
		r, err := entries.at(i)
		if err != nil {
			return nil, fmt.Errorf("entry %s: %w", entries.ids[i], err)
		}
		if _, err := w.Write([]Row{rowOf(r)}); err != nil {
			return nil, fmt.Errorf("entry %s: write its row: %w", r.ID, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write rows: %w", err)
	}
	return out.Bytes(), nil
}

// judgeTable returns nil when a Parquet file can be read and has a row for each entry, in order.
func judgeTable(data []byte, entries *lines) (err error) {
	r := parquet.NewGenericReader[Row](bytes.NewReader(data))
	defer func() { err = errors.Join(err, r.Close()) }()
	if r.NumRows() != int64(len(entries.ids)) {
		return fmt.Errorf("%d rows for %d entries", r.NumRows(), len(entries.ids))
	}
	rows := make([]Row, 256)
	for at := 0; at < len(entries.ids); {
		n, err := r.Read(rows[:min(len(rows), len(entries.ids)-at)])
		for _, row := range rows[:n] {
			if row.ID != entries.ids[at].String() {
				return fmt.Errorf("row %d is that of entry %s, not %s", at, row.ID, entries.ids[at])
			}
			at++
		}
		if n == 0 {
			return fmt.Errorf("row %d cannot be read: %w", at, err)
		}
	}
	return nil
}
