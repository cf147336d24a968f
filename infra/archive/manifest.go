package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tasklog/tasklog/events"
)

// Format is the version of the format that this package writes and reads.
const Format = 1

// maxManifest bounds what is read as a manifest, in bytes.
const maxManifest = 64 << 10

// File is an object of a segment.
type File struct {
	Name   string `json:"name"`   // beside the manifest
	Bytes  int64  `json:"bytes"`  // of the object
	SHA256 string `json:"sha256"` // of the object, in hexadecimal digits
}

// Manifest tells what a segment is.
//
// Invariant: predecessor's Last <= After < First <= Last.
type Manifest struct {
	Format    int    `json:"format"`
	Prefix    string `json:"prefix"`
	Partition int    `json:"partition"`
	Number    int    `json:"number"`   // from 1 on
	Previous  string `json:"previous"` // SHA-256 of the manifest before it; "" in the first one
	// After is the predecessor's last id. A later one says that what lies between was trimmed from the
	// stream before it was archived.
	After      events.ID `json:"after"`
	First      events.ID `json:"first"`
	Last       events.ID `json:"last"`
	Count      int64     `json:"count"`      // entries
	Bytes      int64     `json:"bytes"`      // of all lines, before compression
	LastSHA256 string    `json:"lastSha256"` // of the last line, without its end
	Lines      File      `json:"lines"`
	Table      File      `json:"table"`
	Sum        string    `json:"sum"` // SHA-256 of the manifest with this field empty
}

// encode returns the manifest as its object has it, and fills Sum.
func (m *Manifest) encode() ([]byte, error) {
	m.Sum = ""
	data, err := events.Marshal(m)
	if err != nil {
		return nil, err
	}
	m.Sum = sum(append(data, '\n'))
	data, err = events.Marshal(m)
	return append(data, '\n'), err
}

// parseManifest reads a manifest and holds it to its own sum.
func parseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("it is not JSON of a manifest: %w", err)
	}
	if m.Format != Format {
		return m, fmt.Errorf("it has format %d, and this program knows %d: upgrade it, or the manifest is damaged", m.Format, Format)
	}
	again := m
	if own, err := again.encode(); err != nil || !bytes.Equal(own, data) {
		return m, errors.New("it is damaged: its sum is not that of what is in it")
	}
	return m, nil
}

// follows returns nil when m is manifest number n of a partition, and may follow the one before it.
func (m Manifest) follows(prefix string, partition, n int, before link) error {
	switch {
	case m.Prefix != prefix || m.Partition != partition:
		return fmt.Errorf("it belongs to prefix %q partition %d, and lies under prefix %q partition %d", m.Prefix, m.Partition, prefix, partition)
	case m.Number != n:
		return fmt.Errorf("it is number %d", m.Number)
	case m.First.Compare(m.After) <= 0 || m.Last.Compare(m.First) < 0 || m.Count < 1:
		return fmt.Errorf("its ids do not rise: after %s, first %s, last %s", m.After, m.First, m.Last)
	case m.Lines.Name != fileName(n, m.First, m.Lines.SHA256, ".ndjson.zst") || m.Table.Name != fileName(n, m.First, m.Table.SHA256, ".parquet"):
		return fmt.Errorf("the files it names, %q and %q, are not named as the files of a segment are", m.Lines.Name, m.Table.Name)
	case before.err != nil: // it is told, and this one may be read
		return nil
	case m.Previous != before.sum:
		return fmt.Errorf("its predecessor was another one: %s has the SHA-256 %s, and it names %s", manifestName(n-1), orNone(before.sum), orNone(m.Previous))
	case m.After.Compare(before.Last) < 0:
		return fmt.Errorf("it begins after %s, and its predecessor ends with %s", m.After, before.Last)
	}
	return nil
}

func orNone(sum string) string {
	if sum == "" {
		return "none"
	}
	return sum
}

func manifestName(n int) string { return fmt.Sprintf("%08d.json", n) }

// fileName names an object of a segment by what is in it.
func fileName(n int, first events.ID, sha256, suffix string) string {
	return fmt.Sprintf("%08d-%s-%.16s%s", n, first, sha256, suffix)
}

// folder is where the segments of a partition lie.
func folder(prefix string, partition int) string {
	return fmt.Sprintf("%s/p%d", escaped(prefix), partition)
}

// escaped is a prefix as the name of a folder, on any disk and in any bucket.
func escaped(prefix string) string {
	var b strings.Builder
	for _, c := range []byte(prefix) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
