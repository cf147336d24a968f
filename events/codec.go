package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The fields of a log entry, in the order in which they are always written: Redis stores field
// names once per stream node only while entries agree on them.
const (
	FieldType    = "type"
	FieldTask    = "task"
	FieldVersion = "v"
	FieldData    = "data"
)

// ErrUndecodable reports an entry that is not an event: a field is missing, the type or version
// is unknown, or the JSON is broken. The entry stays in the log; readers skip it, count it and
// say its id.
var ErrUndecodable = errors.New("undecodable entry")

// Encode returns the field values of an entry: type, version and JSON body.
// It fails only for a payload or result that is not JSON.
func Encode(d Data) (typ Type, version int, data []byte, err error) {
	data, err = Marshal(d)
	if err != nil {
		return "", 0, nil, fmt.Errorf("encode %s: %w", d.Type(), err)
	}
	return d.Type(), Version, data, nil
}

// Fragment returns the JSON object of v without its braces, such as `"queue":"mail","name":"send"`.
// A script joins fragments to a body without looking into them: payloads are opaque to Lua.
func Fragment(v any) (string, error) {
	data, err := Marshal(v)
	if err != nil {
		return "", err
	}
	return string(data[1 : len(data)-1]), nil
}

// ReadFragment is the inverse of Fragment: v is a pointer.
func ReadFragment(fragment string, v any) error {
	return jsonv2.Unmarshal([]byte("{"+fragment+"}"), v, lenient)
}

// Marshal is json.Marshal that leaves <, > and & alone: a payload reads in redis-cli as it was sent.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Decode reads one entry of the log. get returns the value of a field, and whether it is there.
// The error is an ErrUndecodable that names the entry id.
func Decode(id string, get func(field string) (string, bool)) (Event, error) {
	var values [4]string
	for i, field := range [4]string{FieldType, FieldTask, FieldVersion, FieldData} {
		v, ok := get(field)
		if !ok {
			if _, err := ParseID(id); err != nil {
				return Event{}, fmt.Errorf("%w %s: %w", ErrUndecodable, id, err)
			}
			return Event{}, fmt.Errorf("%w %s: field %q is missing", ErrUndecodable, id, field)
		}
		values[i] = v
	}
	return DecodeFields(id, values[0], values[1], values[2], values[3])
}

// DecodeFields is Decode of an entry of which all fields are there. Of the texts only task is kept.
func DecodeFields(id, typ, task, version, data string) (Event, error) {
	entry, err := ParseID(id)
	if err != nil {
		return Event{}, fmt.Errorf("%w %s: %w", ErrUndecodable, id, err)
	}
	v, err := strconv.Atoi(version)
	if err != nil {
		return Event{}, fmt.Errorf("%w %s: version %q is not a number", ErrUndecodable, id, version)
	}
	d, ok := quick(Type(typ), data)
	if !ok || v != Version {
		if d, err = DecodeData(Type(typ), v, []byte(data)); err != nil {
			return Event{}, fmt.Errorf("%w %s: %w", ErrUndecodable, id, err)
		}
	}
	return Event{ID: entry, Task: task, Data: d}, nil
}

// DecodeData reads the body of an event. A body of an older version is upcast: the result is
// always of the newest.
func DecodeData(typ Type, version int, data []byte) (Data, error) {
	if version != Version {
		return nil, fmt.Errorf("%s has version %d, and this program knows %d: upgrade it", typ, version, Version)
	}
	switch typ {
	case TypeTaskRequested:
		return unmarshal[TaskRequested](data)
	case TypeTaskDue:
		return unmarshal[TaskDue](data)
	case TypeTaskStarted:
		return unmarshal[TaskStarted](data)
	case TypeTaskCompleted:
		return unmarshal[TaskCompleted](data)
	case TypeTaskFailed:
		return unmarshal[TaskFailed](data)
	case TypeTaskReleased:
		return unmarshal[TaskReleased](data)
	case TypeTaskCancelled:
		return unmarshal[TaskCancelled](data)
	case TypeTaskRetryRequested:
		return unmarshal[TaskRetryRequested](data)
	case TypeQueuePaused:
		return unmarshal[QueuePaused](data)
	case TypeQueueResumed:
		return unmarshal[QueueResumed](data)
	}
	return nil, fmt.Errorf("unknown event type %q: upgrade this program", typ)
}

// lenient reads what encoding/json would: payloads are the client's, whatever they repeat.
var lenient = jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func unmarshal[D Data](data []byte) (Data, error) {
	var d D
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, fmt.Errorf("%s: its body is not a JSON object", d.Type()) // null would pass
	}
	if err := jsonv2.Unmarshal(data, &d, lenient); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Type(), err)
	}
	return d, nil
}
