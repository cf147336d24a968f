package verifier

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/pause"
	"github.com/tasklog/tasklog/infra/views"
	"github.com/tasklog/tasklog/projections/audit"
	"github.com/tasklog/tasklog/projections/queues"
	"github.com/tasklog/tasklog/projections/tasks"
)

// index holds the index of the tasks view against the log.
func (v *partition) index(ctx context.Context) error {
	claims, lists := map[views.Claim]string{}, map[string]string{}
	for n := range rounds {
		stored, err := v.store.Stored(ctx, v.part)
		if err != nil {
			return err
		}
		if n == 0 {
			err = v.indexes(ctx, stored, claims)
		} else {
			err = v.claimsAgain(ctx, stored, claims)
		}
		if err != nil {
			return err
		}
		if n == 0 || len(lists) > 0 {
			if err := v.lists(ctx, stored, lists); err != nil {
				return err
			}
		}
		if len(claims)+len(lists) == 0 {
			return nil
		}
		pause.For(ctx, v.cfg.Patience*time.Duration(n+1)/(rounds*(rounds+1)/2))
	}
	for _, c := range slices.SortedFunc(maps.Keys(claims), func(a, b views.Claim) int {
		return slices.Compare([]string{a.Task, string(a.Place.State)}, []string{b.Task, string(b.Place.State)})
	}) {
		v.differ(v.part.View("tasks"), "%s", claims[c])
	}
	for _, queue := range slices.Sorted(maps.Keys(lists)) {
		v.differ(v.part.View("tasks"), "%s", lists[queue])
	}
	return nil
}

// indexes reads the index but the completed tasks, and claims what looks different.
func (v *partition) indexes(ctx context.Context, stored views.Stored, claims map[views.Claim]string) error {
	if err := v.catchUp(ctx); err != nil {
		return err
	}
	v.audit.Unmark()
	trimmed := map[string]bool{} // queues of which not all cancelled tasks are in the index
	for queue := range v.audit.Queues() {
		q := countsOf(stored, queue)
		trimmed[queue] = q.Totals.Cancelled > tasks.Keep
		for _, state := range events.States {
			if state == events.StateCompleted {
				continue
			}
			place := tasks.Place{State: state, Queue: queue}
			for at, err := range v.store.Index(ctx, v.part, stored.Index, place) {
				if err != nil {
					return err
				}
				v.compared.Index++
				t, known := v.audit.Task(at.Task)
				if known && t.Last.Compare(stored.Checkpoint) > 0 {
					continue // the views do not know yet
				}
				if known && t.Again && state.Final() && (t.State != state || t.Queue != queue) {
					continue // where it stood in the life before
				}
				if !known || t.State != state || t.Queue != queue || t.Last.Ms != at.Ms {
					if len(claims) >= maxSuspects {
						continue
					}
					claims[views.Claim{Task: at.Task, Place: place}] = ""
					continue
				}
				v.audit.Mark(at.Task)
			}
		}
	}
	var over []events.ID
	for id, t := range v.audit.Unseen() {
		switch {
		case t.Last.Compare(stored.Checkpoint) > 0, t.State == events.StateCompleted,
			t.State == events.StateCancelled && trimmed[t.Queue], len(claims)+len(over) >= maxSuspects:
		case id == "":
			over = append(over, t.Last)
		default:
			claims[views.Claim{Task: id, Place: tasks.Place{State: t.State, Queue: t.Queue}}] = ""
		}
	}
	return v.named(ctx, over, func(id string) {
		if t, known := v.audit.Task(id); known {
			claims[views.Claim{Task: id, Place: tasks.Place{State: t.State, Queue: t.Queue}}] = ""
		}
	})
}

// claimsAgain forgets the claims that turn out right, and says of the others what is wrong.
func (v *partition) claimsAgain(ctx context.Context, stored views.Stored, claims map[views.Claim]string) error {
	for some := range slices.Chunk(slices.Collect(maps.Keys(claims)), snapshots) {
		head, at, err := v.store.At(ctx, v.part, stored.Index, some)
		if err != nil {
			return err
		}
		if err := v.catchUp(ctx); err != nil {
			return err
		}
		for i, c := range some {
			t, known := v.audit.Task(c.Task)
			claims[c] = wrongly(c, at[i], t, known)
			if claims[c] == "" || t.Last.Compare(head.Checkpoint) > 0 || head.Generation != stored.Generation {
				delete(claims, c)
			}
		}
	}
	return nil
}

// wrongly says in which way the index is wrong about a claim. ms is what it says there, or -1.
func wrongly(c views.Claim, ms int64, t audit.Summary, known bool) string {
	there := known && t.State == c.Place.State && t.Queue == c.Place.Queue
	switch {
	case there && ms < 0:
		return fmt.Sprintf("task %s is missing among the %s ones of queue %q", c.Task, c.Place.State, c.Place.Queue)
	case there && ms != t.Last.Ms:
		return fmt.Sprintf("task %s stands at %d, and its newest event is %s", c.Task, ms, t.Last)
	case known && t.Again && c.Place.State.Final():
		return "" // where it stood in the life before
	case !there && ms >= 0:
		return fmt.Sprintf("task %s stands among the %s ones of queue %q, and is none", c.Task, c.Place.State, c.Place.Queue)
	}
	return ""
}

// lists holds the completed tasks of the index against the log, and says of each queue what is wrong.
func (v *partition) lists(ctx context.Context, stored views.Stored, wrong map[string]string) error {
	clear(wrong)
	for queue := range v.audit.Queues() {
		var list []views.Indexed
		for at, err := range v.store.Index(ctx, v.part, stored.Index, tasks.Place{State: events.StateCompleted, Queue: queue}) {
			if err != nil {
				return err
			}
			list = append(list, at)
		}
		if err := v.catchUp(ctx); err != nil {
			return err
		}
		for _, at := range list {
			t, known := v.audit.Task(at.Task)
			if known && t.Again {
				continue // it may have been completed in the life before
			}
			if !known || t.State != events.StateCompleted || t.Queue != queue || t.Last.Ms != at.Ms {
				wrong[queue] = fmt.Sprintf("task %s stands among the completed ones of queue %q, and is none", at.Task, queue)
			}
		}
		n := int64(len(list))
		v.compared.Index += n
		if want := min(tasks.Keep, countsOf(stored, queue).Totals.Completed); n < want && wrong[queue] == "" {
			wrong[queue] = fmt.Sprintf("%d tasks stand among the completed ones of queue %q, and want %d", n, queue, want)
		}
	}
	return nil
}

// countsOf returns what stored views count of a queue.
func countsOf(stored views.Stored, queue string) (q queues.Queue) {
	_ = json.Unmarshal([]byte(stored.Fields["queues"][queue]), &q) // else it differs already
	return q
}
