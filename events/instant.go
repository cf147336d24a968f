package events

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// ParseInstant reads a point in the log as people name it, and returns the last id that belongs to it:
// everything up to and including that id had happened then. It is one of
//
//	2026-11-25T14:03:07.123Z   a time, RFC 3339; without a fraction it is the beginning of that second
//	-15m, -36h, -7d, now-15m   so long before now
//	now                        now
//	1764000000000              ms since the Unix epoch, by the clock of Redis
//	1764000000000-3            exactly that entry
//
// now is the clock of Redis.
func ParseInstant(s string, now time.Time) (ID, error) {
	if s == "now" {
		return endOf(now), nil
	}
	if ago, ok := strings.CutPrefix(strings.TrimPrefix(s, "now"), "-"); ok {
		d, err := parseAgo(ago)
		if err != nil {
			return ID{}, fmt.Errorf("instant %q: %w", s, err)
		}
		return endOf(now.Add(-d)), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		if t.UnixMilli() < 0 {
			return ID{}, fmt.Errorf("instant %q: no log is older than 1970", s)
		}
		return endOf(t), nil
	}
	id, err := ParseID(s)
	if err != nil {
		return ID{}, fmt.Errorf("instant %q: want a time such as 2026-11-25T14:03:07Z, a relative one such as -15m or -7d, or an entry id", s)
	}
	if !strings.Contains(s, "-") {
		id.Seq = math.MaxUint64
	}
	return id, nil
}

// TimeLayout is how people and programs are told a time of ours, in UTC, to the ms.
const TimeLayout = "2006-01-02T15:04:05.000Z07:00"

// FormatInstant is the inverse of ParseInstant: the entry that an id names, or else the time whose last ms it is.
func FormatInstant(id ID) string {
	if id.Seq == math.MaxUint64 {
		return id.Time().Format(TimeLayout)
	}
	return id.String()
}

// endOf returns the last id that the ms of a time can have.
func endOf(t time.Time) ID { return ID{Ms: max(0, t.UnixMilli()), Seq: math.MaxUint64} }

// parseAgo reads a duration that may begin with days: 7d, 1d12h.
func parseAgo(s string) (time.Duration, error) {
	var days time.Duration
	if n, rest, ok := strings.Cut(s, "d"); ok {
		d, err := time.ParseDuration(n + "h")
		if err != nil {
			return 0, fmt.Errorf("%q is no number of days", n)
		}
		if d > 100*365*time.Hour {
			return 0, fmt.Errorf("%s days are more than a hundred years", n)
		}
		days, s = 24*d, rest
		if s == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 15m, 36h or 7d", s)
	}
	return days + d, nil
}
