package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/crashpoint"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// Config says how segments are cut. The zero Config is a good one.
type Config struct {
	// Lag is how old, by Redis' clock, an entry must be: Redis may lose younger ones in a failover. Zero
	// means a minute.
	Lag time.Duration
	// MaxEntries is how many entries a segment has at the most. Zero means 100 000.
	MaxEntries int
	// MaxBytes is after how many bytes of lines, before compression, a segment ends. Zero means 32 MiB.
	MaxBytes int64
	// All archives what is left at the end, too: a segment that is smaller than it could be.
	All bool
	// AcceptGap goes on when entries were trimmed from the stream that are not in the archive: then they are
	// lost, and the manifest says so.
	AcceptGap bool
}

func (c Config) withDefaults() Config {
	if c.Lag == 0 {
		c.Lag = time.Minute
	}
	if c.MaxEntries == 0 {
		c.MaxEntries = 100_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 32 << 20
	}
	return c
}

// ErrDiverged reports that the stream does not go on where the archive ends: Redis lost acknowledged
// entries and wrote others, was flushed, or is another Redis. Nothing was written.
var ErrDiverged = errors.New("the stream does not go on where the archive ends")

// ErrGap reports that entries were trimmed from the stream that are not in the archive. Nothing was written.
var ErrGap = errors.New("entries are neither in the archive nor in the stream")

// Written counts what a Write did.
type Written struct {
	Segments   int   `json:"segments"`
	Entries    int64 `json:"entries"`
	Bytes      int64 `json:"bytes"`      // of lines, before compression
	Compressed int64 `json:"compressed"` // of NDJSON files
	Tables     int64 `json:"tables"`     // of Parquet files
}

// Add adds what another Write did.
func (w *Written) Add(o Written) {
	w.Segments += o.Segments
	w.Entries += o.Entries
	w.Bytes += o.Bytes
	w.Compressed += o.Compressed
	w.Tables += o.Tables
}

// Write archives what of a partition is old enough and not archived, segment after segment. It returns
// ErrDiverged, ErrGap or a *SegmentError when that cannot go on. Any other error may pass: Write again. What
// is counted was done, whatever the error.
func (a *Archive) Write(ctx context.Context, log *eventlog.Log, p eventlog.Partition, cfg Config) (Written, error) {
	cfg = cfg.withDefaults()
	var done Written
	if err := a.clean(ctx, p.N); err != nil {
		return done, err
	}
	for {
		links, err := a.links(ctx, p.N, true)
		if err != nil {
			return done, err
		}
		before := link{}
		for _, l := range links {
			if l.err != nil {
				return done, l.err
			}
			before = l
		}
		from, err := a.goOn(ctx, log, p, before, cfg)
		if err != nil {
			return done, err
		}
		m := Manifest{Format: Format, Prefix: a.prefix, Partition: p.N, Number: len(links) + 1, Previous: before.sum, After: from}
		entries, err := cut(ctx, log, p, from, cfg)
		if err != nil || entries == nil {
			return done, err
		}
		if err := a.store(ctx, p.N, &m, entries); errors.Is(err, errExists) {
			continue // another writer was faster: its segment is as good
		} else if err != nil {
			return done, err
		}
		done.Add(Written{1, m.Count, m.Bytes, m.Lines.Bytes, m.Table.Bytes})
	}
}

// goOn returns the id after which the next segment begins. It holds the end of the archive against the stream.
func (a *Archive) goOn(ctx context.Context, log *eventlog.Log, p eventlog.Partition, end link, cfg Config) (events.ID, error) {
	trimmed, _, err := log.Trimmed(ctx, p)
	if err != nil {
		return events.ID{}, err
	}
	switch c := trimmed.Compare(end.Last); {
	case c == 0:
		return end.Last, nil
	case c > 0 && cfg.AcceptGap:
		return trimmed, nil
	case c > 0:
		return events.ID{}, fmt.Errorf("%w: partition %d was trimmed up to %s, and archive %s ends with %s: is it another archive?",
			ErrGap, p.N, trimmed, a.name, end.Last)
	}
	raw, err := log.Raw(ctx, p, end.Last.Prev(), end.Last, 1)
	if err != nil {
		return events.ID{}, err
	}
	if len(raw) == 1 {
		line, err := encodeLine(raw[0])
		if err != nil {
			return events.ID{}, err
		}
		if sum(bytes.TrimSuffix(line, []byte("\n"))) == end.LastSHA256 {
			return end.Last, nil
		}
	}
	what := "is not in it"
	if len(raw) == 1 {
		what = "is another one there"
	}
	return events.ID{}, fmt.Errorf("%w: entry %s of partition %d, the last one of archive %s, %s: redis lost entries, or this is another archive; "+
		"archive to another place from here on, or bring the data of Redis back", ErrDiverged, end.Last, p.N, a.name, what)
}

// page is how many entries are read from Redis at a time, at the most.
const page = 1000

// cut returns the entries of the segment that begins after an id, or nil when it has not ended yet.
func cut(ctx context.Context, log *eventlog.Log, p eventlog.Partition, from events.ID, cfg Config) (*lines, error) {
	now, err := log.Now(ctx)
	if err != nil {
		return nil, err
	}
	old := events.ID{Ms: now.Add(-cfg.Lag).UnixMilli(), Seq: events.MaxID.Seq} // nothing is appended before it any more
	entries, pages := &lines{}, log.Pages(page)
	for {
		raw, more, err := pages.Raw(ctx, p, from, old)
		if err != nil {
			return nil, err
		}
		for _, r := range raw {
			if len(entries.ids) > 0 && day(r.ID) != day(entries.ids[0]) {
				return entries, nil
			}
			text, err := encodeLine(r)
			if err != nil {
				return nil, fmt.Errorf("entry %s: %w", r.ID, err)
			}
			entries.data = append(entries.data, text...)
			entries.ids = append(entries.ids, r.ID)
			entries.ends = append(entries.ends, len(entries.data))
			if len(entries.ids) >= cfg.MaxEntries || int64(len(entries.data)) >= cfg.MaxBytes {
				return entries, nil
			}
			from = r.ID
		}
		if more {
			continue
		}
		if len(entries.ids) > 0 && (cfg.All || day(old) != day(entries.ids[0])) {
			return entries, nil
		}
		return nil, nil
	}
}

// day is the day of an id, in UTC, counted from the Unix epoch.
func day(id events.ID) int64 { return id.Ms / (24 * time.Hour).Milliseconds() }

// store writes the objects of a segment, the manifest last, and fills the manifest.
func (a *Archive) store(ctx context.Context, partition int, m *Manifest, entries *lines) error {
	n := len(entries.ids)
	m.First, m.Last, m.Count, m.Bytes = entries.ids[0], entries.ids[n-1], int64(n), int64(len(entries.data))
	m.LastSHA256 = sum(bytes.TrimSuffix(entries.text(n-1), []byte("\n")))
	data, err := compress(entries.data)
	if err != nil {
		return fmt.Errorf("compress entries %s to %s: %w", m.First, m.Last, err)
	}
	at := folder(a.prefix, partition) + "/"
	file := func(data []byte, suffix string) File {
		return File{fileName(m.Number, m.First, sum(data), suffix), int64(len(data)), sum(data)}
	}
	m.Lines = file(data, ".ndjson.zst")
	if err := a.bucket.put(ctx, at+m.Lines.Name, data, func(back []byte) error {
		_, err := m.judge(back)
		return err
	}); err != nil {
		return fmt.Errorf("archive %s: %w", a.name, err)
	}
	crashpoint.Hit(crashpoint.ArchiveSegmentWritten)
	if data, err = encodeTable(entries); err != nil {
		return err
	}
	m.Table = file(data, ".parquet")
	if err := a.bucket.put(ctx, at+m.Table.Name, data, func(back []byte) error { return judgeTable(back, entries) }); err != nil {
		return fmt.Errorf("archive %s: %w", a.name, err)
	}
	crashpoint.Hit(crashpoint.ArchiveParquetWritten)
	manifest, err := m.encode()
	if err != nil {
		return fmt.Errorf("manifest %d: %w", m.Number, err)
	}
	crashpoint.Hit(crashpoint.ArchiveBeforeManifest)
	if err := a.bucket.create(ctx, at+manifestName(m.Number), manifest); err != nil {
		return err
	}
	crashpoint.Hit(crashpoint.ArchiveAfterManifest)
	return nil
}

// clean removes what writers that were killed have left: objects under temporary names, and files of
// segments that exist with others.
func (a *Archive) clean(ctx context.Context, partition int) error {
	names, err := a.bucket.list(ctx, folder(a.prefix, partition))
	if err != nil {
		return fmt.Errorf("archive %s: %w", a.name, err)
	}
	links, err := a.links(ctx, partition, true)
	if err != nil {
		return err
	}
	for _, name := range names {
		temporary := strings.HasPrefix(name, "tmp-") || strings.HasSuffix(name, ".tmp")
		if !temporary && !left(name, links) {
			continue
		}
		if err := a.bucket.remove(ctx, folder(a.prefix, partition)+"/"+name); err != nil {
			return fmt.Errorf("archive %s: %w", a.name, err)
		}
	}
	return nil
}

// left reports whether a file has the name of one of a segment that exists, and is none of its files.
func left(name string, links []link) bool {
	for _, l := range links {
		if l.err == nil && strings.HasPrefix(name, fileName(l.Number, l.First, "", "")) &&
			(strings.HasSuffix(name, ".ndjson.zst") || strings.HasSuffix(name, ".parquet")) {
			return name != l.Lines.Name && name != l.Table.Name
		}
	}
	return false
}
