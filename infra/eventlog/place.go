package eventlog

import (
	"fmt"

	"github.com/tasklog/tasklog/events"
)

// Place returns a task's member in waiting:<queue>, as prelude.lua makes it of the entry id of its TaskRequested.
func Place(requested events.ID, task string) string {
	return fmt.Sprintf("%013d-%010d:%s", requested.Ms, requested.Seq, task)
}

// TaskAt returns the task that a member of waiting:<queue> names, or "" when it names none.
func TaskAt(place string) string {
	if len(place) <= placeBytes {
		return ""
	}
	return place[placeBytes:]
}

// Row reads a task's row out of its fields; that of a completed task has of its definition the priority only.
// An error says that no decision wrote it.
func Row(id string, fields map[string]string) (events.Task, error) { return parseRow(id, fields) }
