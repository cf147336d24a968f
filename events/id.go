package events

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ID is an entry id of a Redis stream: the position of an event in its partition and, in
// milliseconds of Redis' clock, its time. The zero ID lies before every event.
type ID struct {
	Ms  int64  // milliseconds since the Unix epoch, by Redis' clock
	Seq uint64 // distinguishes events of one millisecond
}

// MaxID lies after every event that can be written.
var MaxID = ID{Ms: 1<<63 - 1, Seq: 1<<64 - 1}

// ParseID reads "1764000000000-3". A missing "-3" means sequence 0, as Redis reads it.
func ParseID(s string) (ID, error) {
	left, right, found := strings.Cut(s, "-")
	ms, err := strconv.ParseUint(left, 10, 63)
	if err != nil {
		return ID{}, fmt.Errorf("entry id %q: want milliseconds-sequence, such as 1764000000000-0", s)
	}
	if !found {
		return ID{Ms: int64(ms)}, nil
	}
	seq, err := strconv.ParseUint(right, 10, 64)
	if err != nil {
		return ID{}, fmt.Errorf("entry id %q: want milliseconds-sequence, such as 1764000000000-0", s)
	}
	return ID{Ms: int64(ms), Seq: seq}, nil
}

// String is the form that Redis prints.
func (id ID) String() string {
	return strconv.FormatInt(id.Ms, 10) + "-" + strconv.FormatUint(id.Seq, 10)
}

// Time is the event's time by Redis' clock, to the millisecond, in UTC.
func (id ID) Time() time.Time { return time.UnixMilli(id.Ms).UTC() }

// IsZero reports whether id lies before every event.
func (id ID) IsZero() bool { return id == ID{} }

// Compare returns -1, 0 or 1 as id lies before, at or after other.
func (id ID) Compare(other ID) int {
	switch {
	case id.Ms < other.Ms || id.Ms == other.Ms && id.Seq < other.Seq:
		return -1
	case id == other:
		return 0
	}
	return 1
}

// Next is the id right after this one, and Prev the one right before it; the zero ID has none before it.
func (id ID) Next() ID {
	if id.Seq++; id.Seq == 0 {
		id.Ms++
	}
	return id
}

// Prev is the inverse of Next.
func (id ID) Prev() ID {
	if id.IsZero() {
		return id
	}
	if id.Seq == 0 {
		id.Ms--
	}
	id.Seq--
	return id
}

// MarshalText and UnmarshalText make an ID a string in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}
