package bus_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/bus"
)

// Both are what the stock Pub/Sub takes.
var (
	_ redisstream.Marshaller   = bus.Marshaller{}
	_ redisstream.Unmarshaller = bus.Unmarshaller{}
)

func unmarshal(t rapid.TB, values map[string]any) *message.Message {
	t.Helper()
	msg, err := bus.Unmarshaller{}.Unmarshal(values)
	if err != nil || msg == nil {
		t.Fatalf("Unmarshal = %v, %v; it must not fail", msg, err)
	}
	return msg
}

func TestAnyMessageComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := message.NewMessage(rapid.String().Draw(t, "uuid"), rapid.SliceOf(rapid.Byte()).Draw(t, "payload"))
		key := rapid.OneOf(rapid.SampledFrom([]string{"type", "task", "v", "data", "uuid", "meta", "tasklog_id"}), rapid.String())
		maps.Copy(in.Metadata, rapid.MapOf(key, rapid.String()).Draw(t, "metadata"))
		delete(in.Metadata, bus.MetaUndecodable)
		values, err := bus.Marshaller{}.Marshal("topic", in)
		if err != nil {
			t.Fatal(err)
		}
		if out := unmarshal(t, values); !in.Equals(out) {
			t.Fatalf("%q %q %q came back as %q %q %q", in.UUID, in.Metadata, in.Payload, out.UUID, out.Metadata, out.Payload)
		}
	})
}

func TestMetadataThatIsNotTextIsRefused(t *testing.T) {
	msg := message.NewMessage("u", nil)
	msg.Metadata.Set("k", "\xff")
	if _, err := (bus.Marshaller{}).Marshal("topic", msg); !errors.Is(err, bus.ErrMetadata) {
		t.Errorf("Marshal = %v, want ErrMetadata", err)
	}
}

func TestEveryEventEverWrittenBecomesAMessage(t *testing.T) {
	samples, err := filepath.Glob("../../events/testdata/wire/*.json")
	if err != nil || len(samples) == 0 {
		t.Fatal("no golden entries", err)
	}
	for _, path := range samples {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var golden []struct {
			Type string          `json:"type"`
			Task string          `json:"task"`
			V    string          `json:"v"`
			Data json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(data, &golden); err != nil {
			t.Fatal(path, err)
		}
		for _, g := range golden {
			entry := map[string]any{"type": g.Type, "task": g.Task, "v": g.V, "data": string(g.Data)}
			msg := unmarshal(t, entry)
			e, err := bus.Decode(msg)
			if err != nil || string(e.Data.Type()) != g.Type || e.Task != g.Task || !e.ID.IsZero() {
				t.Errorf("%s: Decode = %+v, %v", path, e, err)
			}
			if string(msg.Payload) != string(g.Data) || msg.Metadata[bus.MetaType] != g.Type {
				t.Errorf("%s: message %q %q", path, msg.Metadata, msg.Payload)
			}
			again, other := unmarshal(t, entry), maps.Clone(entry)
			other["task"] = "other"
			if again.UUID != msg.UUID || unmarshal(t, other).UUID == msg.UUID {
				t.Errorf("%s: the UUID does not follow the content", path)
			}
		}
	}
}

func TestEntriesThatAreNoMessagesAreMarked(t *testing.T) {
	good := map[string]any{"type": "QueuePaused", "task": "", "v": "1", "data": `{"queue":"q","by":"x"}`}
	if msg := unmarshal(t, good); msg.Metadata.Get(bus.MetaUndecodable) != "" {
		t.Fatalf("a good entry is marked: %q", msg.Metadata)
	}
	with := func(k string, v any) map[string]any {
		m := maps.Clone(good)
		m[k] = v
		return m
	}
	without := func(k string) map[string]any {
		m := maps.Clone(good)
		delete(m, k)
		return m
	}
	for _, tt := range []struct {
		want  string
		entry map[string]any
	}{
		{`field "type" is missing`, nil},
		{`field "data" is missing`, without("data")},
		{`field "task" is missing`, without("task")},
		{`version "x" is not a number`, with("v", "x")},
		{"has version 99", with("v", "99")},
		{`unknown event type "TaskGone"`, with("type", "TaskGone")},
		{"not a JSON object", with("data", "[]")},
		{"unexpected EOF", with("data", `{"queue":`)},
		{`field "v" is missing`, with("v", 5)}, // Redis sends strings
		{`field "meta"`, map[string]any{"uuid": "u", "data": "", "meta": "no JSON"}},
		{"field \"data\" is missing", map[string]any{"uuid": "u"}},
	} {
		want, entry := tt.want, tt.entry
		msg := unmarshal(t, entry)
		if got := msg.Metadata.Get(bus.MetaUndecodable); !strings.Contains(got, want) {
			t.Errorf("%v is marked %q, want %q", entry, got, want)
		}
		if _, err := bus.Decode(msg); !errors.Is(err, events.ErrUndecodable) {
			t.Errorf("%v: Decode = %v, want ErrUndecodable", entry, err)
		}
	}
}

func FuzzUnmarshalNeverFails(f *testing.F) {
	f.Add("TaskDue", "t", "1", `{"queue":"q"}`, "", `{"a":"b"}`)
	f.Add("", "", "", "", "uuid", "{")
	f.Fuzz(func(t *testing.T, typ, task, v, data, uuid, meta string) {
		values := map[string]any{"type": typ, "task": task, "v": v, "data": data}
		if uuid != "" {
			values["uuid"], values["meta"] = uuid, meta
		}
		msg := unmarshal(t, values)
		if _, err := bus.Decode(msg); err == nil && msg.Metadata.Get(bus.MetaUndecodable) != "" {
			t.Errorf("%q is marked and decodes", values)
		}
	})
}
