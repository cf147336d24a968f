package events_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tasklog/tasklog/events"
)

// FuzzParseID holds against any text: what is taken is printed in the one form that is read back as the
// same position, and lies within the log.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{
		"", "0", "0-0", "1764000000000-3", "1764000000000", "9223372036854775807-18446744073709551615", "9223372036854775808-0",
		"+1-0", "-1-0", "1-", "-", "1--1", "1_000-0", "0x1-0", " 1-0", "1-0\n", "00001-00002", "١-٠",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := events.ParseID(s)
		if err != nil {
			if !id.IsZero() {
				t.Errorf("%q: %v beside an error", s, id)
			}
			return
		}
		again, err := events.ParseID(id.String())
		if err != nil || again != id {
			t.Errorf("%q is %v, and read back %v, %v", s, id, again, err)
		}
		if id.Ms < 0 || id.Compare(events.MaxID) > 0 || id.Compare(events.ID{}) < 0 {
			t.Errorf("%q lies outside of the log: %v", s, id)
		}
		if strings.Trim(s, "0123456789-") != "" {
			t.Errorf("%q is taken for %v", s, id)
		}
	})
}

// FuzzValidateName holds against any name: what is taken can stand in a Redis key, in a log line and in
// a URL, and chooses no cluster slot.
func FuzzValidateName(f *testing.F) {
	for _, s := range []string{
		"", "a", "unique-id-123", "täsk 1", "a{b}", "{0}", "}", "a\r\nSET x y", "a\x00", "\x7f", "\xff", "\u0085", "\u2028", "\u202e", "\ufeff",
		".", "..", "a/../b", strings.Repeat("x", events.MaxNameBytes), strings.Repeat("x", events.MaxNameBytes+1), "<script>", "🙂", "\ud7ff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if events.ValidateName("id", s) != nil {
			return
		}
		if s == "" || len(s) > events.MaxNameBytes || !utf8.ValidString(s) || s == "." || s == ".." {
			t.Errorf("%q is taken", s)
		}
		for _, r := range s {
			// Cc, Cf, Zl and Zp: what breaks lines, hides, or turns text around.
			if r < ' ' || r == '{' || r == '}' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r == 0xfeff {
				t.Errorf("%q is taken, with %U", s, r)
			}
		}
	})
}
