package archive

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// line is one entry in the file.
type line struct {
	ID     events.ID `json:"id"`
	Fields []string  `json:"fields,omitempty"`
	Base64 [][]byte  `json:"base64,omitempty"`
}

// encodeLine returns an entry as the file has it, with its "\n".
func encodeLine(r eventlog.Raw) ([]byte, error) {
	l := line{ID: r.ID, Fields: r.Fields}
	for _, f := range r.Fields {
		if utf8.ValidString(f) {
			continue
		}
		l.Fields = nil
		for _, f := range r.Fields {
			l.Base64 = append(l.Base64, []byte(f))
		}
		break
	}
	data, err := events.Marshal(l)
	return append(data, '\n'), err
}

// decodeLine is the inverse of encodeLine.
func decodeLine(data []byte) (eventlog.Raw, error) {
	var l line
	if err := json.Unmarshal(data, &l); err != nil {
		return eventlog.Raw{}, err
	}
	for _, f := range l.Base64 {
		l.Fields = append(l.Fields, string(f))
	}
	return eventlog.Raw{ID: l.ID, Fields: l.Fields}, nil
}

// idOfLine reads the id of a line and nothing else of it.
func idOfLine(data []byte) (events.ID, error) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"id":"`))
	id, _, end := bytes.Cut(rest, []byte(`"`))
	if !ok || !end {
		return events.ID{}, errors.New("a line does not begin with an id")
	}
	return events.ParseID(string(id))
}

// sum is the SHA-256 in lower-case hexadecimal digits.
func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// encoder works in its caller's goroutine, and is made once: it has large tables.
var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(true))
})

// compress returns one zstd frame.
func compress(data []byte) ([]byte, error) {
	w, err := encoder()
	if err != nil {
		return nil, err
	}
	return w.EncodeAll(data, nil), nil
}

// minMemory is what a decoder is allowed at least: under its smallest window it refuses all frames.
const minMemory = 1 << 20

// decompress is the inverse of compress. What has far more than size bytes is an error.
func decompress(data []byte, size int64) ([]byte, error) {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max(size, minMemory))))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return r.DecodeAll(data, make([]byte, 0, size))
}

// lines are the entries of a segment in memory: as text, and where in it each of them begins.
type lines struct {
	data []byte
	ids  []events.ID
	ends []int // of line i; it begins where the one before it ends
}

// parseLines finds the lines. Their ids must rise.
func parseLines(data []byte) (*lines, error) {
	l := &lines{data: data}
	for at := 0; at < len(data); {
		n := bytes.IndexByte(data[at:], '\n')
		if n < 0 {
			return nil, errors.New("its last line has no end")
		}
		id, err := idOfLine(data[at : at+n])
		if err != nil {
			return nil, err
		}
		if k := len(l.ids); k > 0 && id.Compare(l.ids[k-1]) <= 0 {
			return nil, fmt.Errorf("entry %s follows %s", id, l.ids[k-1])
		}
		at += n + 1
		l.ids, l.ends = append(l.ids, id), append(l.ends, at)
	}
	return l, nil
}

// at decodes entry i.
func (l *lines) at(i int) (eventlog.Raw, error) { return decodeLine(l.text(i)) }

// text is entry i as the file has it.
func (l *lines) text(i int) []byte {
	begin := 0
	if i > 0 {
		begin = l.ends[i-1]
	}
	return l.data[begin:l.ends[i]]
}
