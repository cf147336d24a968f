package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
)

// double puts entries into the dispatch streams that were there before: the newest TaskDue events tell which.
func double(ctx context.Context, h *house, dice *rand.Rand) error {
	part := h.anyPart(dice)
	msgs, err := h.redis.rdb.XRevRangeN(ctx, part.Events, "+", "-", 200).Result()
	if err != nil {
		return err
	}
	n := 0
	for _, m := range msgs {
		e, err := decode(m)
		due, ok := e.Data.(events.TaskDue)
		if err != nil || !ok {
			continue
		}
		label, err := events.Fragment(due.Label)
		if err != nil {
			return err
		}
		err = h.redis.rdb.Do(ctx, "XADD", part.Due(due.Queue), "*", "task", e.Task,
			"attempt", due.Attempt, "label", label).Err()
		if err != nil {
			return err
		}
		n++
	}
	if n == 0 {
		return errors.New("nothing was due lately")
	}
	return nil
}

// spoil adds entries to the log and to every dispatch stream that nobody can decode.
func spoil(ctx context.Context, h *house, dice *rand.Rand) error {
	task := fmt.Sprintf("task-%06d", dice.IntN(100)) // there is one of that name, perhaps in another partition
	for _, part := range h.log.Partitions() {
		if err := h.spoilPart(ctx, part, task); err != nil {
			return err
		}
	}
	return nil
}

func (h *house) spoilPart(ctx context.Context, part eventlog.Partition, task string) error {
	for _, values := range [][]any{
		{"field", "no event"},
		{"type", "TaskCompleted", "task", task, "v", "1", "data", `{"attempt":`},
		{"type", "TaskExploded", "task", task, "v", "1", "data", "{}"},
		{"type", "TaskDue", "task", task, "v", "7000", "data", "{}"},
	} {
		h.spoiled++
		if err := h.redis.rdb.Do(ctx, append([]any{"XADD", part.Events, "*"}, values...)...).Err(); err != nil {
			return err
		}
	}
	for _, queue := range queues {
		for _, values := range [][]any{
			{"field", "no entry"},
			{"task", task, "attempt", "many", "label", ""},
			{"task", task, "attempt", "1", "label", `"queue":`},
		} {
			if err := h.redis.rdb.Do(ctx, append([]any{"XADD", part.Due(queue), "*"}, values...)...).Err(); err != nil {
				return err
			}
		}
	}
	return nil
}
