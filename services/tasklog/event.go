package main

import (
	"fmt"
	"strings"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/api/wire"
)

// maxBrief is how many characters of a result or an error a line shows.
const maxBrief = 120

// describe tells in a line what an event says beyond its type, its task and its queue.
func describe(d events.Data) string {
	switch d := d.(type) {
	case events.TaskRequested:
		return words(phrase("priority %d", d.Priority), phrase("due %s", wire.Stamp(d.DueAt)))
	case events.TaskDue:
		return words(attempt(d.Attempt), phrase("was %s", d.From))
	case events.TaskStarted:
		return words(attempt(d.Attempt), phrase("by %s", d.Worker), phrase("waited %d ms", d.WaitMs))
	case events.TaskCompleted:
		said := words(attempt(d.Attempt), phrase("by %s", d.Worker), phrase("ran %d ms", d.RunMs))
		if d.Result != nil {
			said += ": " + brief(string(d.Result), maxBrief)
		}
		return said
	case events.TaskFailed:
		next := "for good"
		if d.RetryAt > 0 {
			next = "again at " + wire.Stamp(d.RetryAt)
		}
		return words(attempt(d.Attempt), phrase("by %s", d.Worker), phrase("ran %d ms", d.RunMs), next) +
			fmt.Sprintf(": %s: %s", d.Reason, brief(d.Error, maxBrief))
	case events.TaskReleased:
		return words(attempt(d.Attempt), phrase("by %s", d.Worker), string(d.Reason), phrase("again at %s", wire.Stamp(d.RetryAt)))
	case events.TaskCancelled:
		return words(phrase("by %s", d.By), phrase("was %s", d.From), brief(d.Reason, maxBrief))
	case events.TaskRetryRequested:
		return words(phrase("by %s", d.By), phrase("was %s", d.From))
	case events.QueuePaused:
		return phrase("by %s", d.By)
	case events.QueueResumed:
		return phrase("by %s", d.By)
	}
	return ""
}

func attempt(n int) string { return phrase("attempt %d", n) }

// phrase is one piece of a description; empty for an empty string.
func phrase(format string, v any) string {
	if s, ok := v.(string); ok && s == "" {
		return ""
	}
	return clean(fmt.Sprintf(format, v))
}

// words joins the phrases that are there.
func words(phrases ...string) string {
	var there []string
	for _, s := range phrases {
		if s != "" {
			there = append(there, s)
		}
	}
	return strings.Join(there, ", ")
}
