package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
)

// rewrite adds the golden files that are missing. It never changes one: what was written once must
// decode for ever.
var rewrite = flag.Bool("rewrite", false, "add the golden files that are missing")

// wireEntry is an entry of the log as a golden file shows it. Its data is byte for byte what Redis
// holds, but for white space.
type wireEntry struct {
	Type string          `json:"type"`
	Task string          `json:"task"`
	V    string          `json:"v"`
	Data json.RawMessage `json:"data"`
}

func (w wireEntry) field(name string) (string, bool) {
	switch name {
	case events.FieldType:
		return w.Type, true
	case events.FieldTask:
		return w.Task, true
	case events.FieldVersion:
		return w.V, true
	case events.FieldData:
		return string(w.Data), true
	}
	return "", false
}

func wireFile(typ events.Type, version int) string {
	return filepath.Join("testdata", "wire", string(typ)+".v"+strconv.Itoa(version)+".json")
}

func encode(t interface{ Fatal(...any) }, d events.Data) wireEntry {
	typ, version, data, err := events.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	w := wireEntry{Type: string(typ), Task: "task-1", V: strconv.Itoa(version), Data: data}
	if strings.HasPrefix(w.Type, "Queue") {
		w.Task = ""
	}
	return w
}

func TestEveryEntryEverWrittenDecodes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "wire", "*.json"))
	if err != nil || len(files) < len(events.Types) {
		t.Fatalf("%d golden files for %d types: %v", len(files), len(events.Types), err)
	}
	for _, file := range files {
		for _, w := range readWire(t, file) {
			e, err := events.Decode("1764000000000-3", w.field)
			if err != nil {
				t.Errorf("%s: %v", file, err)
				continue
			}
			if string(e.Data.Type()) != w.Type || e.Task != w.Task || e.ID != (events.ID{Ms: 1_764_000_000_000, Seq: 3}) {
				t.Errorf("%s: decoded as %+v", file, e)
			}
			if filepath.Base(file) != w.Type+".v"+w.V+".json" {
				t.Errorf("%s holds a %s of version %s", file, w.Type, w.V)
			}
		}
	}
}

func readWire(t *testing.T, file string) []wireEntry {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: go test ./events -rewrite adds it", err)
	}
	var list []wireEntry
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for i := range list {
		var b bytes.Buffer
		if err := json.Compact(&b, list[i].Data); err != nil {
			t.Fatal(err)
		}
		list[i].Data = b.Bytes()
	}
	return list
}

func TestWhatIsWrittenNowIsAsTheGoldenFilesSay(t *testing.T) {
	if len(full) != len(events.Types) || len(minimal) != len(events.Types) {
		t.Fatal("a type has no sample")
	}
	for i, typ := range events.Types {
		want := []wireEntry{encode(t, full[i]), encode(t, minimal[i])}
		file := wireFile(typ, events.Version)
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) && *rewrite {
			writeWire(t, file, want)
		}
		got := readWire(t, file)
		if len(got) != len(want) {
			t.Fatalf("%s holds %d entries", file, len(got))
		}
		for j := range want {
			if got[j].Type != want[j].Type || got[j].V != want[j].V || !bytes.Equal(got[j].Data, want[j].Data) {
				t.Errorf("%s has\n%s\nand now would be written\n%s", file, got[j].Data, want[j].Data)
			}
		}
		for j, sample := range []events.Data{full[i], minimal[i]} {
			e, err := events.Decode("0-1", got[j].field)
			if err != nil || !reflect.DeepEqual(e.Data, sample) {
				t.Errorf("%s entry %d decodes to\n%+v, %v, not\n%+v", file, j, e.Data, err, sample)
			}
		}
	}
}

func writeWire(t *testing.T, file string, list []wireEntry) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(list); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFullSamplesAreFull(t *testing.T) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if v.Kind() != reflect.Struct {
			if v.IsZero() {
				t.Errorf("%s is not set", path)
			}
			return
		}
		for i := range v.NumField() {
			walk(path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	}
	for i, d := range full {
		if d.Type() != events.Types[i] || minimal[i].Type() != events.Types[i] {
			t.Errorf("sample %d is not a %s", i, events.Types[i])
		}
		walk(string(d.Type()), reflect.ValueOf(d))
	}
}

func TestABodySurvivesTheLog(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := anyBody().Draw(t, "body")
		w := encode(t, d)
		if bytes.ContainsAny(w.Data, "\n\r") {
			t.Fatalf("%s is not one line", w.Data)
		}
		e, err := events.Decode("7-1", w.field)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(e.Data, d) {
			t.Fatalf("got  %#v\nwant %#v\nwire %s", e.Data, d, w.Data)
		}
		if e.Data.About() != d.About() {
			t.Fatalf("it is about %+v, not %+v", e.Data.About(), d.About())
		}
	})
}

func TestFragmentsJoinToTheBodyOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, ok := anyBody().Filter(func(d events.Data) bool { return d.Type() == events.TypeTaskRequested }).Draw(t, "body").(events.TaskRequested)
		if !ok {
			t.Fatal("no TaskRequested")
		}
		d.DueAt, d.DelayMs = 5, 6
		label, err := events.Fragment(d.Label)
		if err != nil {
			t.Fatal(err)
		}
		def, err := events.Fragment(d.Definition)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := "{"+label+","+def+`,"dueAt":5,"delayMs":6}`, string(encode(t, d).Data); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func TestEncodeRefusesWhatIsNotJSON(t *testing.T) {
	for _, bad := range []string{`{`, `{"a":}`, ``, `nul`, `{} {}`, "\"\x01\""} {
		payload := json.RawMessage(bad)
		if bad == "" {
			payload = json.RawMessage{' '}
		}
		if _, _, _, err := events.Encode(events.TaskCompleted{Result: payload}); err == nil {
			t.Errorf("result %q was encoded", bad)
		}
		if _, err := events.Fragment(events.Definition{Payload: payload}); err == nil {
			t.Errorf("payload %q was encoded", bad)
		}
	}
}

func TestDecodeSaysWhatIsWrongAndWhere(t *testing.T) {
	good := map[string]string{"type": "TaskDue", "task": "a", "v": "1", "data": `{"queue":"q"}`}
	tests := []struct {
		name, id, field, value, want string
		missing                      bool
	}{
		{name: "no type", field: "type", missing: true, want: `"type" is missing`},
		{name: "no task", field: "task", missing: true, want: `"task" is missing`},
		{name: "no version", field: "v", missing: true, want: `"v" is missing`},
		{name: "no data", field: "data", missing: true, want: `"data" is missing`},
		{name: "unknown type", field: "type", value: "TaskEaten", want: `unknown event type "TaskEaten"`},
		{name: "newer version", field: "v", value: "2", want: "version 2"},
		{name: "version zero", field: "v", value: "0", want: "version 0"},
		{name: "version in words", field: "v", value: "one", want: "not a number"},
		{name: "no JSON", field: "data", value: "hello", want: "not a JSON object"},
		{name: "empty", field: "data", value: "", want: "not a JSON object"},
		{name: "null", field: "data", value: "null", want: "not a JSON object"},
		{name: "a list", field: "data", value: "[]", want: "not a JSON object"},
		{name: "cut off", field: "data", value: `{"queue":`, want: "unexpected EOF"},
		{name: "two objects", field: "data", value: `{}{}`, want: "invalid character"},
		{name: "a wrong type inside", field: "data", value: `{"attempt":"x"}`, want: "attempt"},
		{name: "too big a number", field: "data", value: `{"attempt":1e30}`, want: "attempt"},
		{name: "no id", id: "x", want: `entry id "x"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id := "5-0"
			if test.id != "" {
				id = test.id
			}
			_, err := events.Decode(id, func(field string) (string, bool) {
				if field == test.field {
					return test.value, !test.missing
				}
				v, ok := good[field]
				return v, ok
			})
			if !errors.Is(err, events.ErrUndecodable) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), id) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for i := range full {
		for _, w := range []wireEntry{encode(f, full[i]), encode(f, minimal[i])} {
			f.Add("1764000000000-3", w.Type, w.Task, w.V, string(w.Data))
		}
	}
	f.Add("x", "TaskEaten", "{}", "-1", "null")
	f.Add("0-0", "TaskDue", "", "1", `{"attempt":1e3,"ATTEMPT":2,"from":"\ud800"}`)
	f.Fuzz(func(t *testing.T, id, typ, task, v, data string) {
		e, err := events.Decode(id, func(field string) (string, bool) {
			return map[string]string{"type": typ, "task": task, "v": v, "data": data}[field], true
		})
		if err != nil {
			if !errors.Is(err, events.ErrUndecodable) {
				t.Fatalf("%v is no ErrUndecodable", err)
			}
			return
		}
		if e.Data == nil || string(e.Data.Type()) != typ {
			t.Fatalf("a %s decodes to %+v", typ, e)
		}
		if _, err := (events.Task{}).Evolve(e); err != nil && !errors.Is(err, events.ErrIllegal) {
			t.Fatal(err)
		}
		// What was read can be written, and reads the same from then on.
		once := encode(t, e.Data)
		again, err := events.DecodeData(e.Data.Type(), events.Version, once.Data)
		if err != nil {
			t.Fatalf("%s: %v", once.Data, err)
		}
		if twice := encode(t, again); !bytes.Equal(once.Data, twice.Data) {
			t.Fatalf("first  %s\nsecond %s", once.Data, twice.Data)
		}
	})
}
