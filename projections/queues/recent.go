package queues

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Window is how many minutes of a queue are told.
const Window = 30

// Minute is what happened to the tasks of a queue in a minute.
type Minute struct {
	Requested int64
	Completed int64
	Failed    int64 // for good
	Retried   int64 // attempts that failed and are tried again
}

// Add adds what happened in another partition, or in another minute.
func (m *Minute) Add(o Minute) {
	m.Requested += o.Requested
	m.Completed += o.Completed
	m.Failed += o.Failed
	m.Retried += o.Retried
}

// FailingShare is how many of the attempts that ended failed, 0 … 1; 0 when none ended.
func (m Minute) FailingShare() float64 {
	failed := m.Failed + m.Retried
	if failed == 0 {
		return 0
	}
	return float64(failed) / float64(failed+m.Completed)
}

// Recent is the last minutes of a queue as of its newest event. In JSON it is the list of the newest minute
// and then four numbers a minute. The zero Recent is empty.
type Recent struct {
	Last    int64    // the newest minute, since the Unix epoch
	Minutes []Minute // from one in which something happened to that one, Window at the most
}

// MarshalJSON implements json.Marshaler.
func (r Recent) MarshalJSON() ([]byte, error) {
	b := strconv.AppendInt([]byte{'['}, r.Last, 10)
	for _, m := range r.Minutes {
		for _, n := range [...]int64{m.Requested, m.Completed, m.Failed, m.Retried} {
			b = strconv.AppendInt(append(b, ','), n, 10)
		}
	}
	return append(b, ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *Recent) UnmarshalJSON(data []byte) error {
	var list []int64
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	if len(list)%4 != 1 || len(list) > 4*Window+1 {
		return fmt.Errorf("recent minutes: %d numbers are not a minute and four for each", len(list))
	}
	r.Last, r.Minutes = list[0], make([]Minute, 0, len(list)/4)
	for m := range slices.Chunk(list[1:], 4) {
		r.Minutes = append(r.Minutes, Minute{m[0], m[1], m[2], m[3]})
	}
	return nil
}

// IsZero reports that nothing happened yet.
func (r Recent) IsZero() bool { return len(r.Minutes) == 0 }

// at returns the minute of a time, which is not before the newest, to be changed.
func (r *Recent) at(ms int64) *Minute {
	r.advance(ms / time.Minute.Milliseconds())
	return &r.Minutes[len(r.Minutes)-1]
}

// advance makes a minute the newest one, if it is later.
func (r *Recent) advance(minute int64) {
	if len(r.Minutes) == 0 || minute-r.Last >= Window {
		r.Last, r.Minutes = minute, []Minute{{}}
	}
	for ; r.Last < minute; r.Last++ {
		r.Minutes = append(r.Minutes, Minute{})
	}
	gone := max(0, len(r.Minutes)-Window)
	for gone < len(r.Minutes)-1 && r.Minutes[gone] == (Minute{}) {
		gone++
	}
	r.Minutes = r.Minutes[gone:]
}

// add adds the minutes of another partition.
func (r *Recent) add(o Recent) {
	if len(o.Minutes) == 0 {
		return
	}
	r.advance(o.Last)
	for i, m := range o.Minutes {
		back := int(r.Last-o.Last) + len(o.Minutes) - 1 - i
		if back >= Window || m == (Minute{}) { // else the sum would begin with minutes in which nothing happened
			continue
		}
		for len(r.Minutes) <= back {
			r.Minutes = append([]Minute{{}}, r.Minutes...)
		}
		r.Minutes[len(r.Minutes)-1-back].Add(m)
	}
}

// Until returns the Window minutes that end now, oldest first; the last is still under way.
func (r Recent) Until(now time.Time) []Minute {
	list := make([]Minute, Window)
	last := now.Unix() / 60
	for i, m := range r.Minutes {
		at := Window - 1 - int(last-r.Last) - (len(r.Minutes) - 1 - i)
		if at >= 0 && at < Window {
			list[at] = m
		}
	}
	return list
}
