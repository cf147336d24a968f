package rows_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/projections/rows"
	"github.com/tasklog/tasklog/projections/simulation"
)

// fold folds a history and keeps what is drained as Redis would.
func fold(h simulation.History, limit int) (*rows.Fold, map[string]rows.Row, map[string]bool) {
	f, kept, queues := rows.New(limit), map[string]rows.Row{}, map[string]bool{}
	drain := func() {
		changed, asked := f.Drain()
		for _, r := range changed {
			kept[r.ID] = r
		}
		for _, q := range asked {
			queues[q] = true
		}
	}
	for page := range slices.Chunk(h.Events, 7) {
		for _, id := range f.Missing(page) {
			if r, ok := kept[id]; ok {
				f.Load(r)
			}
		}
		for _, e := range page {
			f.Apply(e)
		}
		if f.Full() {
			drain()
		}
	}
	drain()
	return f, kept, queues
}

func TestAFoldGivesTheSameRowsHoweverLittleItHolds(t *testing.T) {
	for seed := range uint64(20) {
		h := simulation.Make(simulation.Config{Seed: seed})
		all, want, queues := fold(h, 1<<30)
		little, got, again := fold(h, 1)
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(again, queues) {
			t.Fatalf("seed %d: they differ", seed)
		}
		maps.DeleteFunc(h.Paused, func(_ string, paused bool) bool { return !paused })
		if !maps.Equal(all.Paused, h.Paused) || !maps.Equal(little.Paused, h.Paused) || all.Illegal+little.Illegal > 0 {
			t.Fatalf("seed %d: paused %v, want %v; illegal: %v", seed, all.Paused, h.Paused, all.Told)
		}
		states := map[events.State]int64{}
		for id, task := range h.Tasks {
			states[task.State]++
			if !reflect.DeepEqual(want[id].Task, task) {
				t.Fatalf("seed %d: task %s is %+v, want %+v", seed, id, want[id].Task, task)
			}
		}
		for _, s := range events.States {
			if all.States[s] != states[s] || little.States[s] != states[s] {
				t.Errorf("seed %d: %d and %d tasks are %s, want %d", seed, all.States[s], little.States[s], s, states[s])
			}
		}
	}
}

func TestAnEventThatNoTaskCanTakeIsNamedAndChangesNothing(t *testing.T) {
	h := simulation.Make(simulation.Config{Seed: 1, NoOperators: true})
	_, want, _ := fold(h, 1<<30)
	stray := events.Event{ID: events.ID{Ms: h.Events[len(h.Events)-1].ID.Ms + 1}, Task: "nobody", Data: events.TaskCompleted{Attempt: 1}}
	h.Events = append(h.Events, stray)
	f, got, _ := fold(h, 1<<30)
	if !reflect.DeepEqual(got, want) || f.Illegal != 1 || len(f.Told) != 1 {
		t.Errorf("%d illegal: %v", f.Illegal, f.Told)
	}
}

func TestARowHasTheFieldsThatScriptsWrite(t *testing.T) {
	row := rows.Row{Task: events.Task{ID: "a", State: events.StateWaiting, Label: events.Label{Queue: "q", Name: "n"}, Events: []events.ID{{Ms: 1}}}}
	names := func(r rows.Row) string {
		fields, err := r.Fields()
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for i := 0; i < len(fields); i += 2 {
			list = append(list, fields[i])
		}
		return fmt.Sprint(list)
	}
	if got, want := names(row), "[state priority dueAt queue label requested def1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	row.Attempt, row.Token, row.RequestID = 1, "t", "r"
	if got, want := names(row), "[state priority dueAt queue label requested def1 request attempt worker token]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	row.Events, row.Payload = append(row.Events, events.ID{Ms: 2}, events.ID{Ms: 2, Seq: 1}), fmt.Appendf(nil, `"%0160d"`, 1)
	if got, want := names(row), "[state priority dueAt queue label requested 2-0 2-1 def1 def2 def3 def4 request attempt worker token]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	row.Events, row.Payload = row.Events[:1], fmt.Appendf(nil, `"%0600d"`, 1)
	if got, want := names(row), "[state priority dueAt queue label requested def request attempt worker token]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	row.Payload = nil
	row = rows.Row{Task: row.Task, Retried: events.ID{Ms: 2}}
	row.Attempt, row.Token = 0, ""
	if got, want := names(row), "[state priority dueAt queue label requested def1 request retry uncounted]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	row.Payload = []byte("{")
	if _, err := row.Fields(); err == nil {
		t.Error("a payload that is no JSON was taken")
	}
}
