package views

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/tasks"
)

// Difference is a field of a view that is not stored as the log gives it.
type Difference struct {
	Partition int    `json:"partition"`
	View      string `json:"view"`
	Field     string `json:"field"`
	Stored    string `json:"stored,omitempty"` // empty: it is missing
	Log       string `json:"log,omitempty"`    // empty: the log gives none
}

// String says what is wrong, as a sentence.
func (d Difference) String() string {
	switch {
	case d.Stored == "":
		return fmt.Sprintf("field %q is missing", d.Field)
	case d.Log == "":
		return fmt.Sprintf("field %q is there, and the log gives none", d.Field)
	}
	return fmt.Sprintf("field %q is %s, and the log gives %s", d.Field, brief(d.Stored), brief(d.Log))
}

// brief is the beginning of what a view holds.
func brief(s string) string {
	const most = 120
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// Compare returns in which fields stored views differ from those of a log, by view and field.
func Compare(p eventlog.Partition, stored, log map[string]map[string]string) []Difference {
	var found []Difference
	for _, view := range slices.Sorted(maps.Keys(log)) {
		fields := maps.Clone(log[view])
		for field := range stored[view] {
			fields[field] = ""
		}
		for _, field := range slices.Sorted(maps.Keys(fields)) {
			if was, is := stored[view][field], log[view][field]; was != is {
				found = append(found, Difference{p.N, view, field, was, is})
			}
		}
	}
	return found
}

// CompareIndex returns how many tasks stand where in the index of stored views, where these are not as many as in
// that of the shadow, which was written: as fields "<state> <queue>" of the view of tasks.
func (s *Shadow) CompareIndex(ctx context.Context, stored Stored) ([]Difference, error) {
	places := map[tasks.Place]bool{}
	for _, fields := range []map[string]string{stored.Fields[s.Queues.Name()], s.fields[s.Queues.Name()]} {
		for queue, value := range fields {
			var q queues.Queue
			if err := json.Unmarshal([]byte(value), &q); err != nil {
				continue // it differs already
			}
			for _, state := range events.States {
				if q.Counts[state] != 0 {
					places[tasks.Place{State: state, Queue: queue}] = true
				}
			}
		}
	}
	var found []Difference
	for some := range slices.Chunk(slices.Collect(maps.Keys(places)), indexPage) {
		cmds, err := s.store.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, place := range some {
				for _, index := range []int64{stored.Index, s.Index} {
					if key := indexKey(s.part, index, place); place.State == events.StateCompleted {
						pipe.LLen(ctx, key)
					} else {
						pipe.ZCard(ctx, key)
					}
				}
			}
			return nil
		})
		if err := unusable(err); err != nil {
			return nil, fmt.Errorf("compare the index of partition %d: %w", s.part.N, err)
		}
		for i, place := range some {
			count := func(cmd redis.Cmder) string { return strconv.FormatInt(cmd.(*redis.IntCmd).Val(), 10) }
			if was, is := count(cmds[2*i]), count(cmds[2*i+1]); was != is {
				found = append(found, Difference{s.part.N, s.Tasks.Name(), string(place.State) + " " + place.Queue, was, is})
			}
		}
	}
	slices.SortFunc(found, func(a, b Difference) int { return slices.Compare([]string{a.Field}, []string{b.Field}) })
	return found, nil
}
