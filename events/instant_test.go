package events_test

import (
	"math"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
)

func TestAnInstantIsNamedInManyWays(t *testing.T) {
	now := time.UnixMilli(1_764_000_000_123)
	for s, want := range map[string]events.ID{
		"now":                       {Ms: 1_764_000_000_123, Seq: math.MaxUint64},
		"-0s":                       {Ms: 1_764_000_000_123, Seq: math.MaxUint64},
		"-15m":                      {Ms: 1_764_000_000_123 - 15*60_000, Seq: math.MaxUint64},
		"now-15m":                   {Ms: 1_764_000_000_123 - 15*60_000, Seq: math.MaxUint64},
		"-1.5s":                     {Ms: 1_763_999_998_623, Seq: math.MaxUint64},
		"-7d":                       {Ms: 1_764_000_000_123 - 7*86_400_000, Seq: math.MaxUint64},
		"-1d12h":                    {Ms: 1_764_000_000_123 - 36*3_600_000, Seq: math.MaxUint64},
		"2025-11-24T16:00:00Z":      {Ms: 1_764_000_000_000, Seq: math.MaxUint64},
		"2025-11-24T17:00:00+01:00": {Ms: 1_764_000_000_000, Seq: math.MaxUint64},
		"2025-11-24T16:00:00.123Z":  {Ms: 1_764_000_000_123, Seq: math.MaxUint64},
		"1764000000000":             {Ms: 1_764_000_000_000, Seq: math.MaxUint64},
		"1764000000000-0":           {Ms: 1_764_000_000_000},
		"1764000000000-7":           {Ms: 1_764_000_000_000, Seq: 7},
		"-40000d":                   {Seq: 0},
	} {
		got, err := events.ParseInstant(s, now)
		if s == "-40000d" {
			if err == nil {
				t.Errorf("%s is more than a hundred years and was taken: %s", s, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", s, got, err, want)
		}
	}
}

func TestWhatIsNoInstantIsRefused(t *testing.T) {
	for _, s := range []string{"", "yesterday", "-", "--1m", "-d", "-7days", "-1d-2h", "2025-11-24", "1-2-3", "15m", "now15m", "now+1m", "nownow", "now1764000000000", "1969-12-31T00:00:00Z", "-15"} {
		if id, err := events.ParseInstant(s, time.UnixMilli(0)); err == nil {
			t.Errorf("%q is taken for %s", s, id)
		}
	}
}

func TestAnInstantIsWrittenAsItIsRead(t *testing.T) {
	now := time.UnixMilli(1_764_000_000_123)
	for s, want := range map[string]string{
		"now":                       "2025-11-24T16:00:00.123Z",
		"-1s":                       "2025-11-24T15:59:59.123Z",
		"2025-11-24T17:00:00+01:00": "2025-11-24T16:00:00.000Z",
		"0":                         "1970-01-01T00:00:00.000Z",
		"0-0":                       "0-0",
		"1764000000000-7":           "1764000000000-7",
	} {
		id, err := events.ParseInstant(s, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := events.FormatInstant(id); got != want {
			t.Errorf("%s is written %s, want %s", s, got, want)
		}
		if again, err := events.ParseInstant(want, now); err != nil || again != id {
			t.Errorf("%s is read as %s, %v; want %s", want, again, err, id)
		}
	}
}

func FuzzParseInstant(f *testing.F) {
	f.Add("-7d")
	f.Add("2025-11-24T16:00:00Z")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := events.ParseInstant(s, time.UnixMilli(1_764_000_000_123))
		if err == nil && id.Ms < 0 {
			t.Errorf("%q: %s", s, id)
		}
	})
}
