package events_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
)

func TestParseID(t *testing.T) {
	tests := []struct {
		in   string
		want events.ID
		ok   bool
	}{
		{"0-0", events.ID{}, true},
		{"1764000000000-3", events.ID{Ms: 1_764_000_000_000, Seq: 3}, true},
		{"1764000000000", events.ID{Ms: 1_764_000_000_000}, true},
		{"9223372036854775807-18446744073709551615", events.MaxID, true},
		{in: "9223372036854775808-0"},
		{in: "1-18446744073709551616"},
		{in: ""},
		{in: "-"},
		{in: "1-"},
		{in: "-1"},
		{in: "-1-0"},
		{in: "1--1"},
		{in: "+1-0"},
		{in: "1-+1"},
		{in: " 1-0"},
		{in: "1-0 "},
		{in: "1-0-0"},
		{in: "1-*"},
		{in: "*"},
		{in: "$"},
		{in: "+"},
		{in: "0x1-0"},
		{in: "1_0-0"},
		{in: "1.5-0"},
		{in: "１-0"},
	}
	for _, test := range tests {
		got, err := events.ParseID(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("ParseID(%q) = %v, %v", test.in, got, err)
		}
	}
}

func anyID() *rapid.Generator[events.ID] {
	return rapid.Custom(func(t *rapid.T) events.ID {
		return events.ID{Ms: rapid.Int64Range(0, math.MaxInt64).Draw(t, "ms"), Seq: rapid.Uint64().Draw(t, "seq")}
	})
}

func TestAnIDIsWhatItPrintsAndIsOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyID().Draw(t, "a"), anyID().Draw(t, "b")
		if rapid.Bool().Draw(t, "same ms") {
			b.Ms = a.Ms
		}
		if back, err := events.ParseID(a.String()); back != a || err != nil {
			t.Fatalf("%s reads as %v, %v", a, back, err)
		}
		data, err := json.Marshal(map[string]events.ID{"id": a})
		if err != nil || string(data) != `{"id":"`+a.String()+`"}` {
			t.Fatalf("%s, %v", data, err)
		}
		var back map[string]events.ID
		if err := json.Unmarshal(data, &back); err != nil || back["id"] != a {
			t.Fatalf("%v, %v", back, err)
		}
		if a.Compare(b) != -b.Compare(a) || (a.Compare(b) == 0) != (a == b) {
			t.Fatalf("%s and %s: %d, %d", a, b, a.Compare(b), b.Compare(a))
		}
		if a.Compare(events.MaxID) > 0 || a.Compare(events.ID{}) < 0 || a.IsZero() != (a == events.ID{}) {
			t.Fatalf("%s does not lie between the first and the last", a)
		}
	})
	if got := (events.ID{Ms: 1_764_000_000_123, Seq: 9}).Time(); got.Format(time.RFC3339Nano) != "2025-11-24T16:00:00.123Z" {
		t.Errorf("the time is %s", got.Format(time.RFC3339Nano))
	}
	if err := new(events.ID).UnmarshalText([]byte("x")); err == nil {
		t.Error("x is an id")
	}
}

func TestPrevIsTheGreatestLesserID(t *testing.T) {
	for _, tt := range []struct{ id, want events.ID }{
		{events.ID{Ms: 5, Seq: 3}, events.ID{Ms: 5, Seq: 2}},
		{events.ID{Ms: 5}, events.ID{Ms: 4, Seq: events.MaxID.Seq}},
		{events.ID{}, events.ID{}},
	} {
		if got := tt.id.Prev(); got != tt.want {
			t.Errorf("%s: Prev is %s, want %s", tt.id, got, tt.want)
		}
	}
}

func TestValidateName(t *testing.T) {
	for _, good := range []string{
		"a", "send Email", "日本語", "a:b/c.d-e_f", "%d", "<script>", `"`, `\`, "🎉", "*", "a\u00a0b", strings.Repeat("x", events.MaxNameBytes),
	} {
		if err := events.ValidateName("queue", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for bad, why := range map[string]string{
		"": "empty", "{": "braces", "a}b": "braces", "{0}": "braces", "a\nb": "control", "\r": "control", "\x00": "control", "\x7f": "control",
		"\u0085": "control", "a\u2028": "not allowed", "\u200b": "not allowed", "\ufeff": "not allowed", "\xff": "UTF-8", "a\xc3": "UTF-8",
		strings.Repeat("x", events.MaxNameBytes+1): "longer", strings.Repeat("ü", events.MaxNameBytes/2+1): "longer",
	} {
		err := events.ValidateName("queue", bad)
		var field *events.FieldError
		if !errors.As(err, &field) || field.Field != "queue" || !strings.Contains(field.Reason, why) {
			t.Errorf("%q: %v, want %q", bad, err, why)
		}
	}
}

func TestDefinitionValidate(t *testing.T) {
	most := events.MaxDelay.Milliseconds()
	tests := []struct {
		field  string // "": valid
		change func(d *events.Definition)
	}{
		{"", func(*events.Definition) {}},
		{"", func(d *events.Definition) { d.Priority = events.MaxPriority }},
		{"priority", func(d *events.Definition) { d.Priority = events.MaxPriority + 1 }},
		{"priority", func(d *events.Definition) { d.Priority = -1 }},
		{"", func(d *events.Definition) { d.MaxAttempts = events.MaxAttemptsLimit }},
		{"maxAttempts", func(d *events.Definition) { d.MaxAttempts = events.MaxAttemptsLimit + 1 }},
		{"maxAttempts", func(d *events.Definition) { d.MaxAttempts = 0 }},
		{"", func(d *events.Definition) { d.TimeoutMs = most }},
		{"timeoutMs", func(d *events.Definition) { d.TimeoutMs = most + 1 }},
		{"timeoutMs", func(d *events.Definition) { d.TimeoutMs = -1 }},
		{"", func(d *events.Definition) { d.Backoff = events.Backoff{Type: "fixed", DelayMs: most, MaxDelayMs: most} }},
		{"", func(d *events.Definition) { d.Backoff.Type = "exponential" }},
		{"backoff.type", func(d *events.Definition) { d.Backoff.Type = "Fixed" }},
		{"backoff.delayMs", func(d *events.Definition) { d.Backoff.DelayMs = most + 1 }},
		{"backoff.delayMs", func(d *events.Definition) { d.Backoff.DelayMs = -1 }},
		{"backoff.maxDelayMs", func(d *events.Definition) { d.Backoff.MaxDelayMs = most + 1 }},
		{"backoff.maxDelayMs", func(d *events.Definition) { d.Backoff.MaxDelayMs = -1 }},
		{"", func(d *events.Definition) { d.Backoff.Jitter = new(1.0) }},
		{"", func(d *events.Definition) { d.Backoff.Jitter = new(0.0) }},
		{"backoff.jitter", func(d *events.Definition) { d.Backoff.Jitter = new(1.0001) }},
		{"backoff.jitter", func(d *events.Definition) { d.Backoff.Jitter = new(-0.1) }},
		{"backoff.jitter", func(d *events.Definition) { d.Backoff.Jitter = new(math.NaN()) }},
	}
	for i, test := range tests {
		d := events.Definition{MaxAttempts: 1}
		test.change(&d)
		err := d.Validate()
		var field *events.FieldError
		switch {
		case test.field == "" && err != nil:
			t.Errorf("%d: %v", i, err)
		case test.field != "" && (!errors.As(err, &field) || field.Field != test.field || !strings.HasPrefix(err.Error(), test.field+": ")):
			t.Errorf("%d: %v, want %s", i, err, test.field)
		}
	}
}

func TestBackoffDelay(t *testing.T) {
	none := 0.0
	all := 1.0
	tests := []struct {
		name string
		b    events.Backoff
		n    int
		dice float64
		want time.Duration
	}{
		{"the default begins at a second", events.Backoff{}, 1, 0.5, time.Second},
		{"less a fifth", events.Backoff{}, 1, 0, 800 * time.Millisecond},
		{"and doubles", events.Backoff{}, 4, 0.5, 8 * time.Second},
		{"up to an hour", events.Backoff{}, 13, 0.5, time.Hour},
		{"and no more", events.Backoff{}, math.MaxInt, 0.999, time.Hour},
		{"fixed does not grow", events.Backoff{Type: "fixed", DelayMs: 250, Jitter: &none}, 30, 0.9, 250 * time.Millisecond},
		{"fixed for longer than an hour", events.Backoff{Type: "fixed", DelayMs: 7_200_000, Jitter: &none}, 1, 0.9, 2 * time.Hour},
		{"a maximum under the delay counts", events.Backoff{DelayMs: 5000, MaxDelayMs: 2000, Jitter: &none}, 1, 0, 2 * time.Second},
		{"full jitter", events.Backoff{DelayMs: 1000, Jitter: &all}, 1, 0, 0},
		{"no attempt yet counts as one", events.Backoff{Jitter: &none}, 0, 0, time.Second},
		{"nor fewer", events.Backoff{Jitter: &none}, math.MinInt, 0, time.Second},
	}
	for _, test := range tests {
		if got := test.b.Delay(test.n, test.dice); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestBackoffStaysWithinItsBounds(t *testing.T) {
	most := events.MaxDelay.Milliseconds()
	rapid.Check(t, func(t *rapid.T) {
		b := events.Backoff{
			Type:       rapid.SampledFrom([]string{"", events.BackoffFixed, events.BackoffExponential}).Draw(t, "type"),
			DelayMs:    rapid.Int64Range(0, most).Draw(t, "delay"),
			MaxDelayMs: rapid.Int64Range(0, most).Draw(t, "max"),
		}
		jitter := 0.2
		if rapid.Bool().Draw(t, "own jitter") {
			jitter = rapid.Float64Range(0, 1).Draw(t, "jitter")
			b.Jitter = &jitter
		}
		if err := b.Validate(); err != nil {
			t.Fatal(err)
		}
		n := rapid.IntRange(1, math.MaxInt-1).Draw(t, "n")
		dice := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "dice")

		calm := b
		calm.Jitter = new(0.0)
		nominal, got := calm.Delay(n, dice), b.Delay(n, dice)
		slack := 1e-9*float64(nominal) + 1
		if f := float64(nominal); float64(got) < f*(1-jitter)-slack || float64(got) > f*(1+jitter)+slack {
			t.Fatalf("%s is not within %v of %s", got, jitter, nominal)
		}
		if limit := time.Duration(b.MaxDelayMs) * time.Millisecond; b.MaxDelayMs > 0 && got > limit {
			t.Fatalf("%s is over the maximum %s", got, limit)
		}
		if got < 0 || got > events.MaxDelay {
			t.Fatalf("%s", got)
		}
		if next := calm.Delay(n+1, dice); next < nominal {
			t.Fatalf("attempt %d waits %s, and the one before it %s", n+1, next, nominal)
		}
		if more := b.Delay(n, math.Nextafter(1, 0)); more < got {
			t.Fatalf("higher dice give %s, less than %s", more, got)
		}
	})
}
