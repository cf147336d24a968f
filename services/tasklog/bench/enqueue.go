package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/client"
)

// payload has 100 bytes.
var payload = json.RawMessage(`{"data":"` + strings.Repeat("x", 89) + `"}`)

// enqueue lets tasks be asked for, with no service running.
func (b bench) enqueue(ctx context.Context, name string, ask func(ctx context.Context, log *eventlog.Log) error) (row, error) {
	srv, log, shut, err := startLog(ctx, false)
	if err != nil {
		return row{}, err
	}
	defer shut()
	before, err := srv.spent(ctx)
	if err != nil {
		return row{}, err
	}
	if err := ask(ctx, log); err != nil {
		return row{}, err
	}
	done := time.Now()
	after, err := srv.spent(ctx)
	if err != nil {
		return row{}, err
	}
	if b.commands {
		if err := srv.commands(ctx, float64(b.tasks)); err != nil {
			return row{}, err
		}
	}
	return b.row(name, before, after, done), nil
}

// bulk is how many tasks the row of bulks asks for at once.
const bulk = 1000

// produceMany enqueues the tasks, bulk after bulk, from one goroutine.
func (b bench) produceMany(ctx context.Context, log *eventlog.Log) error {
	c := client.New(log, client.Options{})
	defer func() { _ = c.Close() }() // it opened nothing
	for n := b.tasks; n > 0; n -= bulk {
		tasks := slices.Repeat([]client.Task{{Name: "noop", Payload: payload}}, min(n, bulk))
		for _, err := range c.EnqueueMany(ctx, slices.Values(tasks)) {
			if err != nil {
				return err
			}
		}
	}
	return nil
}
