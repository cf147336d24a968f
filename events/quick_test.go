package events_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
)

// often are the types whose plain bodies are read quickly: those of nearly all entries.
var often = []events.Type{
	events.TypeTaskRequested, events.TypeTaskDue, events.TypeTaskStarted, events.TypeTaskCompleted, events.TypeTaskFailed,
}

// same fails the test where a body is read quickly, and otherwise than by the decoder.
func same(t interface{ Errorf(string, ...any) }, typ events.Type, data string) bool {
	got, ok := events.Quick(typ, data)
	if !ok {
		return false
	}
	want, err := events.DecodeData(typ, events.Version, []byte(data))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s %q is %#v, want %#v, %v", typ, data, got, want, err)
	}
	return true
}

func TestPlainBodiesAreReadQuickly(t *testing.T) {
	about := events.Label{Queue: "mail", Name: "send-it"}
	for _, d := range []events.Data{
		events.TaskRequested{Label: about, DueAt: 1764000000000, DelayMs: 5, Definition: events.Definition{
			Payload:  json.RawMessage(`{"a":[1,-2.5e+3,true,false,null,{}],"b":{"c":"d\n\"e"},"f":[]}`),
			Priority: 9, MaxAttempts: 5, Backoff: events.Backoff{Type: "fixed", DelayMs: 1, MaxDelayMs: 2},
			TimeoutMs: 7, Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", RequestID: "r",
		}},
		events.TaskRequested{Label: about},
		events.TaskDue{Label: about, Attempt: 2, Priority: 3, DueAt: 4, From: events.StateRetrying},
		events.TaskStarted{Label: about, Attempt: 1, Worker: "w", Token: "bXV0ZXg=", WaitMs: 12},
		events.TaskCompleted{Label: about, Attempt: 1, Worker: "w", RunMs: 3, Result: json.RawMessage(`"ok"`)},
		events.TaskCompleted{Label: about, Attempt: 1, Worker: "w"},
		events.TaskFailed{Label: about, Attempt: 1, Worker: "w", Error: "no", Reason: events.ReasonError, RetryAt: 99},
	} {
		typ, _, data, err := events.Encode(d)
		if err != nil {
			t.Fatal(err)
		}
		if !same(t, typ, string(data)) {
			t.Errorf("%s %s is not read quickly", typ, data)
		}
	}
}

func TestWhatIsReadQuicklyIsReadAsTheDecoderDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ, _, data, err := events.Encode(anyBody().Draw(t, "body"))
		if err != nil {
			t.Fatal(err)
		}
		same(t, typ, string(data))
	})
}

// FuzzQuick holds against any body: what is read quickly, the decoder reads as the same.
func FuzzQuick(f *testing.F) {
	for i := range full {
		for _, d := range []events.Data{full[i], minimal[i]} {
			typ, _, data, err := events.Encode(d)
			if err != nil {
				f.Fatal(err)
			}
			for n, t := range often {
				if t == typ {
					f.Add(n, string(data))
				}
			}
		}
	}
	for _, data := range []string{
		`{}`, `{"queue":"a","queue":"b"}`, `{"dueAt":01}`, `{"dueAt":1.0}`, `{"dueAt":-0}`, `{"dueAt":9223372036854775808}`, `{"queue":null}`,
		`{"payload":[01]}`, `{"payload":1.}`, `{"payload":-}`, `{"payload":"\u00e9"}`, `{"payload":"` + "\xff" + `"}`, `{"payload":{"a":1,"a":2}}`,
		`{"payload":nul}`, `{"payload":[1,]}`, `{"payload":{"a"}}`, `{"backoff":{}}`, `{"backoff":{"jitter":0.5}}`, `{"backoff":null}`, `{"result":null}`, ` {}`, `{} `,
	} {
		for n := range often {
			f.Add(n, data)
		}
	}
	f.Fuzz(func(t *testing.T, n int, data string) {
		if n >= 0 && n < len(often) {
			same(t, often[n], data)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	typ, version, data, err := events.Encode(events.TaskStarted{Label: events.Label{Queue: "default", Name: "sendEmail"}, Attempt: 1, Worker: "w", Token: "bXV0ZXg="})
	if err != nil || version != events.Version {
		b.Fatal(err)
	}
	text := string(data)
	b.Run("quick", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := events.Quick(typ, text); !ok {
				b.Fatal(text)
			}
		}
	})
	b.Run("any", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := events.DecodeData(typ, version, data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
