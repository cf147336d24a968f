package verifier_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/infra/testredis"
	"github.com/tasklog/tasklog/services/verifier"
)

// A task whose events are closer together than two reads is never met at rest.
func TestTasksThatNeverRestAreNoDifference(t *testing.T) {
	h := open(t, testredis.Start(t).URL())
	const tasks = 10
	moving, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	turned := make(chan struct{}, tasks)
	for i := range tasks {
		work.Go(func() {
			if err := spin(moving, h.log, fmt.Sprint("t", i), fmt.Sprint("q", i), turned); err != nil {
				t.Error(err)
			}
		})
	}
	for range tasks {
		<-turned
	}
	for range 2 {
		if r := h.verify(verifier.Config{}); !r.OK || r.Events < tasks {
			t.Errorf("%d events, %d violations, differences %v", r.Events, r.ViolationCount, r.Differences)
		}
	}
}

// spin makes a task due, starts it and gives it back until ctx ends; turned hears of the first time.
func spin(ctx context.Context, log *eventlog.Log, task, queue string, turned chan<- struct{}) error {
	life := context.WithoutCancel(ctx)
	p, rdb := log.Of(task), log.Conn().View
	if err := log.CreateGroup(life, p, queue); err != nil {
		return err
	}
	r := eventlog.Request{Task: task, Label: events.Label{Queue: queue, Name: "n"}, Definition: events.Definition{MaxAttempts: 3}}
	if _, err := log.Request(life, r); err != nil {
		return err
	}
	for n := 1; ctx.Err() == nil; n++ {
		waiting, err := rdb.ZRange(life, p.Waiting(queue), 0, -1).Result()
		if err != nil {
			return err
		}
		if _, err := log.Due(life, p, queue, 10, waiting); err != nil {
			return err
		}
		taken, err := log.Take(life, p, "w", []string{queue}, 1, time.Second)
		if err != nil || len(taken) != 1 {
			return fmt.Errorf("%d entries: %w", len(taken), err)
		}
		a := eventlog.Attempt{
			Task: task, Queue: queue, Number: taken[0].Attempt, Token: fmt.Sprint("token", n), Worker: "w", Entry: taken[0].Entry,
		}
		if _, err := log.Start(life, a, time.Minute); err != nil {
			return err
		}
		a.Entry = events.ID{}
		if _, err := log.Release(life, a, events.ReasonShutdown, nil); err != nil {
			return err
		}
		if n == 1 {
			turned <- struct{}{}
		}
	}
	return nil
}
