package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/bus"
	"github.com/tasklog/tasklog/infra/webhook"
)

// The headers of a request, beside the signature.
const (
	HeaderEventID   = "Tasklog-Event-Id"
	HeaderEventType = "Tasklog-Event-Type"
	HeaderTaskID    = "Tasklog-Task-Id"
	HeaderKey       = "Idempotency-Key"
)

// Notice is the body of a request.
type Notice struct {
	EventID events.ID       `json:"eventId"` // entry id in the log
	Type    events.Type     `json:"type"`
	Task    string          `json:"task"` // empty for an event about a queue
	Version int             `json:"v"`    // schema version of Data
	Data    json.RawMessage `json:"data"` // the body, as in the log
	At      time.Time       `json:"at"`   // by Redis' clock
}

// hook is a webhook as a publisher of Watermill; a topic is its URL.
type hook struct {
	client *webhook.Client
	secret string
	many   bool // partitions
}

func newHook(cfg Config, allow webhook.Allow, partitions int) *hook {
	return &hook{client: webhook.NewClient(answerLimit, allow), secret: cfg.Secret, many: partitions > 1}
}

// Publish posts messages, one after the other. An error means that one was not acknowledged by a 2xx.
func (h *hook) Publish(to string, msgs ...*message.Message) error {
	for _, msg := range msgs {
		if err := h.post(to, msg); err != nil {
			return err
		}
	}
	return nil
}

// Close implements message.Publisher.
func (h *hook) Close() error {
	h.client.Close()
	return nil
}

func (h *hook) post(to string, msg *message.Message) error {
	e, err := bus.Decode(msg)
	if err != nil {
		return err
	}
	version, _ := strconv.Atoi(msg.Metadata[bus.MetaVersion]) // Decode has read it
	body, err := events.Marshal(Notice{
		EventID: e.ID, Type: e.Data.Type(), Task: e.Task, Version: version,
		Data: json.RawMessage(msg.Payload), At: e.ID.Time(),
	})
	if err != nil {
		return fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	header := http.Header{}
	header.Set(HeaderEventID, e.ID.String())
	header.Set(HeaderEventType, string(e.Data.Type()))
	header.Set(HeaderTaskID, e.Task)
	header.Set(HeaderKey, h.key(e, msg.Metadata[bus.MetaStream]))
	resp, err := h.client.Post(msg.Context(), to, header, h.secret, body)
	if resp.OK() { // whatever it says, and however long
		return nil
	}
	if resp.Status == 0 {
		return err
	}
	// Not what it said: it may repeat the event, and this ends in our log.
	return fmt.Errorf("the webhook answered %d", resp.Status)
}

// tag finds the partition in the key of a log.
var tag = regexp.MustCompile(`\{(\d+)\}:events$`)

// key is the same whenever an event is delivered, and no other event has it.
func (h *hook) key(e events.Event, stream string) string {
	if p := tag.FindStringSubmatch(stream); h.many && p != nil {
		return e.ID.String() + "@" + p[1]
	}
	return e.ID.String()
}
