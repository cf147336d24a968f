package events_test

import (
	"encoding/json"

	"pgregory.net/rapid"

	"github.com/tasklog/tasklog/events"
)

func raw(s string) json.RawMessage { return json.RawMessage(s) }

var (
	jitter = 0.5
	about  = events.Label{Queue: "mail", Name: "sendEmail"}
)

// full holds a body of every type with every field set; TestFullSamplesAreFull sees to that.
var full = []events.Data{
	events.TaskRequested{
		Label: about,
		Definition: events.Definition{
			Payload:  raw(`{"userId":12345678901234567890,"template":"<b>&</b>","to":[],"meta":{},"ü":"\u2028"}`),
			Priority: 7, MaxAttempts: 5,
			Backoff:   events.Backoff{Type: events.BackoffFixed, DelayMs: 1000, MaxDelayMs: 60_000, Jitter: &jitter},
			TimeoutMs: 30_000, Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", RequestID: "r-1",
		},
		DueAt: 1_764_000_005_000, DelayMs: 5000,
	},
	events.TaskDue{Label: about, Attempt: 1, Priority: 7, DueAt: 1_764_000_005_000, From: events.StateDelayed},
	events.TaskStarted{Label: about, Attempt: 1, Worker: "host-1", Token: "bXV0ZXg=", WaitMs: 3},
	events.TaskCompleted{Label: about, Attempt: 1, Worker: "host-1", RunMs: 120, Result: raw(`{"sent":true}`)},
	events.TaskFailed{
		Label: about, Attempt: 1, Worker: "host-1", RunMs: 120, Error: "dial tcp: \"refused\"\n\x1b[31m",
		Reason: events.ReasonError, RetryAt: 1_764_000_006_000,
	},
	events.TaskReleased{
		Label: about, Attempt: 1, Worker: "host-1", Reason: events.ReasonNoHandler,
		From: events.StateDue, RetryAt: 1_764_000_006_000,
	},
	events.TaskCancelled{Label: about, By: "api", Reason: "not wanted", From: events.StateWaiting},
	events.TaskRetryRequested{Label: about, By: "cli", RequestID: "r-2", From: events.StateFailed},
	events.QueuePaused{Label: about, By: "cli"},
	events.QueueResumed{Label: about, By: "cli"},
}

// minimal holds a body of every type with nothing that may be absent.
var minimal = []events.Data{
	events.TaskRequested{
		Label:      events.Label{Queue: "default", Name: "a"},
		Definition: events.Definition{MaxAttempts: 1}, DueAt: 1_764_000_000_000,
	},
	events.TaskDue{Label: events.Label{Queue: "default"}, Attempt: 1, DueAt: 1, From: events.StateWaiting},
	events.TaskStarted{Label: events.Label{Queue: "default"}, Attempt: 1, Worker: "w", Token: "t"},
	events.TaskCompleted{Label: events.Label{Queue: "default"}, Attempt: 1, Worker: "w"},
	events.TaskFailed{Label: events.Label{Queue: "default"}, Attempt: 1, Reason: events.ReasonAbandoned},
	events.TaskReleased{
		Label: events.Label{Queue: "default"}, Attempt: 1, Worker: "w",
		Reason: events.ReasonShutdown, From: events.StateActive,
	},
	events.TaskCancelled{Label: events.Label{Queue: "default"}, From: events.StateActive},
	events.TaskRetryRequested{Label: events.Label{Queue: "default"}, From: events.StateCancelled},
	events.QueuePaused{Label: events.Label{Queue: "default"}},
	events.QueueResumed{Label: events.Label{Queue: "default"}},
}

// anyJSON draws JSON that other systems are known to trip over.
func anyJSON() *rapid.Generator[json.RawMessage] {
	return rapid.Custom(func(t *rapid.T) json.RawMessage {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			return nil
		case 1:
			return raw(rapid.SampledFrom([]string{
				`null`, `[]`, `{}`, `""`, `0`, `-0`, `1e400`, `12345678901234567890`, `0.1000000000000000055`,
				`{"a":1,"a":2}`, `[[[[[[]]]]]]`, `"%d%s\\u0000"`, `"\u0000"`, `"\ud800"`, `"</script>"`, `"}"`,
				`{"maxAttempts":9,"type":"TaskDue","":{"":""}}`, `true`, "\"\u2028\u2029\"",
			}).Draw(t, "json"))
		case 2:
			data, err := json.Marshal(rapid.MapOf(rapid.String(), rapid.Float64Range(-1e9, 1e9)).Draw(t, "object"))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		data, err := json.Marshal(rapid.SliceOf(rapid.String()).Draw(t, "list"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	})
}

// anyBody draws a body of any type with any values in it.
func anyBody() *rapid.Generator[events.Data] {
	return rapid.Custom(func(t *rapid.T) events.Data {
		str := func(name string) string { return rapid.String().Draw(t, name) }
		num := func(name string) int { return rapid.Int().Draw(t, name) }
		ms := func(name string) int64 { return rapid.Int64().Draw(t, name) }
		state := func() events.State { return rapid.SampledFrom(events.States).Draw(t, "state") }
		label := events.Label{Queue: str("queue"), Name: str("name")}
		switch rapid.SampledFrom(events.Types).Draw(t, "type") {
		case events.TypeTaskRequested:
			b := events.Backoff{Type: str("type"), DelayMs: ms("delay"), MaxDelayMs: ms("max")}
			if rapid.Bool().Draw(t, "jittered") {
				j := rapid.Float64().Draw(t, "jitter")
				b.Jitter = &j
			}
			return events.TaskRequested{
				Label: label,
				Definition: events.Definition{
					Payload: anyJSON().Draw(t, "payload"), Priority: num("priority"), MaxAttempts: num("attempts"),
					Backoff: b, TimeoutMs: ms("timeout"), Traceparent: str("trace"), RequestID: str("request"),
				},
				DueAt: ms("due"), DelayMs: ms("delay"),
			}
		case events.TypeTaskDue:
			return events.TaskDue{Label: label, Attempt: num("attempt"), Priority: num("priority"), DueAt: ms("due"), From: state()}
		case events.TypeTaskStarted:
			return events.TaskStarted{Label: label, Attempt: num("attempt"), Worker: str("worker"), Token: str("token"), WaitMs: ms("wait")}
		case events.TypeTaskCompleted:
			return events.TaskCompleted{Label: label, Attempt: num("attempt"), Worker: str("worker"), RunMs: ms("run"), Result: anyJSON().Draw(t, "result")}
		case events.TypeTaskFailed:
			return events.TaskFailed{
				Label: label, Attempt: num("attempt"), Worker: str("worker"), RunMs: ms("run"),
				Error: str("error"), Reason: events.Reason(str("reason")), RetryAt: ms("retry"),
			}
		case events.TypeTaskReleased:
			return events.TaskReleased{
				Label: label, Attempt: num("attempt"), Worker: str("worker"),
				Reason: events.Reason(str("reason")), From: state(), RetryAt: ms("retry"),
			}
		case events.TypeTaskCancelled:
			return events.TaskCancelled{Label: label, By: str("by"), Reason: str("reason"), From: state()}
		case events.TypeTaskRetryRequested:
			return events.TaskRetryRequested{Label: label, By: str("by"), RequestID: str("request"), From: state()}
		case events.TypeQueuePaused:
			return events.QueuePaused{Label: label, By: str("by")}
		case events.TypeQueueResumed:
		}
		return events.QueueResumed{Label: label, By: str("by")}
	})
}
