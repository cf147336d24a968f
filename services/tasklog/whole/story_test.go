package whole_test

import (
	"slices"
	"strings"
	"time"

	"github.com/tasklog/tasklog/events"
)

// follow reads the log from its beginning, and as it grows, until f has seen enough.
func (h *house) follow(f func(events.Event) bool) {
	h.Helper()
	p := h.log.Partitions()[0]
	var after events.ID
	for deadline := time.Now().Add(120 * time.Second); ; {
		if time.Now().After(deadline) {
			h.Fatalf("what is waited for does not come, up to %s", after)
		}
		entries, err := h.log.Follow(h.Context(), p, after, 1000, time.Second)
		if err != nil {
			h.Fatal(err)
		}
		for _, e := range entries {
			if e.Err != nil {
				h.Fatal(e.Err)
			}
			if after = e.ID; f(e.Event) {
				return
			}
		}
	}
}

// stories waits until so many tasks are final, and returns the types of each task's events, in order:
// "Requested Due Started Completed".
func (h *house) stories(final int) map[string]string {
	h.Helper()
	words := map[string][]string{}
	ended := map[string]bool{}
	h.follow(func(e events.Event) bool {
		if e.Task != "" {
			words[e.Task] = append(words[e.Task], strings.TrimPrefix(string(e.Data.Type()), "Task"))
		}
		if events.Next(e.Data).Final() {
			ended[e.Task] = true
		}
		return len(ended) >= final
	})
	told := map[string]string{}
	for task, list := range words {
		told[task] = strings.Join(list, " ")
	}
	return told
}

// smooth fails the test unless each of these tasks ran once and was completed.
func (h *house) smooth(tasks ...string) {
	h.Helper()
	told := h.stories(len(tasks))
	for _, task := range tasks {
		if told[task] != "Requested Due Started Completed" {
			h.Errorf("task %s: %s", task, told[task])
		}
	}
	for task := range told {
		if !slices.Contains(tasks, task) {
			h.Errorf("nobody was told that task %s was accepted", task)
		}
	}
}
