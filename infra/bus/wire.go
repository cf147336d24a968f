package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/tasklog/tasklog/events"
)

// The metadata of a message that was an event.
const (
	MetaType    = events.FieldType    // event type
	MetaTask    = events.FieldTask    // task id; empty for an event about a queue
	MetaVersion = events.FieldVersion // schema version of the payload
	MetaID      = "tasklog_id"        // entry id: the event's position, and its time in ms of Redis' clock
	MetaStream  = "tasklog_stream"    // key of the stream that the entry was read from
	// MetaUndecodable is set on a message that is none: its value says what is wrong with the entry.
	MetaUndecodable = "tasklog_undecodable"
)

// The fields that only a published message has.
const (
	fieldUUID = "uuid"
	fieldMeta = "meta"
)

// ErrMetadata reports a message that cannot be published: its metadata is not valid UTF-8.
var ErrMetadata = errors.New("metadata is not valid UTF-8")

// Marshaller writes messages in the wire form of this package. It is a Marshaller of
// watermill-redisstream. Metadata "type", "task" and "v" become the fields of an event.
type Marshaller struct{}

// Marshal returns the fields of an entry. The error is an ErrMetadata.
func (Marshaller) Marshal(_ string, msg *message.Message) (map[string]any, error) {
	list, err := fields(msg)
	if err != nil {
		return nil, err
	}
	values := make(map[string]any, len(list)/2)
	for i := 0; i < len(list); i += 2 {
		values[list[i].(string)] = list[i+1]
	}
	return values, nil
}

// fields returns names and values, always in the same order: Redis stores the names once for the
// entries of a node that agree on them.
func fields(msg *message.Message) ([]any, error) {
	list := make([]any, 0, 12)
	rest := make(map[string]string, len(msg.Metadata))
	for k, v := range msg.Metadata {
		if !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, fmt.Errorf("marshal message %s: key %q: %w", msg.UUID, k, ErrMetadata)
		}
		switch k {
		case MetaType, MetaTask, MetaVersion, MetaUndecodable: // fields; and a judgement of the reader's
		default:
			rest[k] = v
		}
	}
	for _, k := range []string{MetaType, MetaTask, MetaVersion} {
		if v, ok := msg.Metadata[k]; ok {
			list = append(list, k, v)
		}
	}
	list = append(list, events.FieldData, string(msg.Payload), fieldUUID, msg.UUID)
	if len(rest) > 0 {
		meta, err := json.Marshal(rest)
		if err != nil {
			return nil, fmt.Errorf("marshal message %s: %w", msg.UUID, err)
		}
		list = append(list, fieldMeta, string(meta))
	}
	return list, nil
}

// Unmarshaller reads entries of the log, and messages that a Marshaller wrote. It is an Unmarshaller
// of watermill-redisstream and never fails, because the stock subscriber ends for ever at the first
// error: an entry that is neither becomes a message with MetaUndecodable.
type Unmarshaller struct{}

// Unmarshal returns the message of an entry, and nil.
func (Unmarshaller) Unmarshal(values map[string]any) (*message.Message, error) {
	field := func(name string) (string, bool) {
		s, ok := values[name].(string)
		return s, ok
	}
	at, named := values[positionField].(position)
	id, published := field(fieldUUID)
	if !published {
		id = at.uuid(field)
	}
	data, whole := field(events.FieldData)
	msg := message.NewMessage(id, message.Payload(data))
	for _, k := range []string{MetaType, MetaTask, MetaVersion} {
		if v, ok := field(k); ok {
			msg.Metadata[k] = v
		}
	}
	switch {
	case !published:
		if _, err := events.Decode(at.entry(), field); err != nil {
			msg.Metadata[MetaUndecodable] = err.Error()
		}
	case !whole:
		msg.Metadata[MetaUndecodable] = fmt.Sprintf("field %q is missing", events.FieldData)
	default:
		if err := unmarshalMeta(field, msg.Metadata); err != nil {
			msg.Metadata[MetaUndecodable] = err.Error()
		}
	}
	if _, carried := msg.Metadata[MetaID]; named && !carried {
		msg.Metadata[MetaID], msg.Metadata[MetaStream] = at.id, at.stream
	}
	return msg, nil
}

func unmarshalMeta(field func(string) (string, bool), into message.Metadata) error {
	text, ok := field(fieldMeta)
	if !ok {
		return nil
	}
	var rest map[string]string
	if err := json.Unmarshal([]byte(text), &rest); err != nil {
		return fmt.Errorf("field %q: %w", fieldMeta, err)
	}
	for k, v := range rest {
		switch k {
		case MetaType, MetaTask, MetaVersion, MetaUndecodable: // ours are the fields, and our own judgement
		default:
			into[k] = v
		}
	}
	return nil
}

// Decode returns the event that a message carries. Its ID is the zero ID when nobody named the
// position; see NamePositions. The error is an events.ErrUndecodable.
func Decode(msg *message.Message) (events.Event, error) {
	if reason, marked := msg.Metadata[MetaUndecodable]; marked {
		return events.Event{}, fmt.Errorf("%w: %s", events.ErrUndecodable, reason)
	}
	at := position{id: msg.Metadata[MetaID]}
	return events.Decode(at.entry(), func(field string) (string, bool) {
		if field == events.FieldData {
			return string(msg.Payload), true
		}
		v, ok := msg.Metadata[field]
		return v, ok
	})
}

// position is where an entry stands.
type position struct{ stream, id string }

// entry is the entry id, or the zero one.
func (p position) entry() string {
	if p.id == "" {
		return events.ID{}.String()
	}
	return p.id
}

// namespace is that of the UUIDs of entries.
var namespace = uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/tasklog/tasklog/infra/bus"))

// uuid is the UUID of the entry at p, or of its content when p is not known.
func (p position) uuid(field func(string) (string, bool)) string {
	name := p.stream + "\x00" + p.id
	if p.id == "" {
		for _, f := range []string{events.FieldType, events.FieldTask, events.FieldVersion, events.FieldData} {
			v, _ := field(f)
			name += "\x00" + v
		}
	}
	return uuid.NewSHA1(namespace, []byte(name)).String()
}
