package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/client"
)

// A program asks for a task, once, and waits for what comes of it.
func Example() {
	ctx := context.Background()
	c, err := client.Connect(ctx, "redis://127.0.0.1:6379/0", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	receipt, err := c.Enqueue(ctx, client.Task{
		Name:    "sendEmail",
		Payload: map[string]any{"userId": 123, "template": "welcome"},
		Delay:   5 * time.Second,
		ID:      "welcome-123", // asking again appends nothing
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("due at", receipt.DueAt)

	o, err := c.Wait(ctx, receipt.ID)
	if err != nil {
		log.Fatal(err)
	}
	switch o.Task.State {
	case events.StateCompleted:
		fmt.Println("result:", string(o.Result))
	default:
		fmt.Println(o.Task.State, o.Reason, o.Error)
	}
}

// What is wrong with a task is said before anything is appended.
func ExampleClient_Enqueue_refused() {
	c := client.New(new(eventlog.Log), client.Options{}) // of no Redis: it is not asked
	defer func() { _ = c.Close() }()

	_, err := c.Enqueue(context.Background(), client.Task{Name: "sendEmail", Priority: -1})
	if wrong, ok := errors.AsType[*events.FieldError](err); ok {
		fmt.Println(wrong.Field, "|", wrong.Reason)
	}
	// Output:
	// priority | -1 is not between 0 and 2097152
}

// An error that is no FieldError leaves it unknown whether the task was appended: ask again with the
// same ID.
func ExampleClient_Enqueue_unknown() {
	ctx := context.Background()
	c, err := client.Connect(ctx, "redis://127.0.0.1:6379/0", client.Options{Patience: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	task := client.Task{Name: "charge", Payload: map[string]int{"cents": 4200}}
	receipt, err := c.Enqueue(ctx, task)
	for eventlog.Unavailable(err) {
		task.ID = receipt.ID
		receipt, err = c.Enqueue(ctx, task)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// Many tasks at once take a fraction of the time that they take one by one. Each has its answer.
func ExampleClient_EnqueueMany() {
	ctx := context.Background()
	server := miniredis.NewMiniRedis() // in a program: your Redis
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	c, err := client.Connect(ctx, "redis://"+server.Addr(), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	tasks := []client.Task{
		{Name: "sendEmail", ID: "welcome-1", Payload: map[string]int{"userId": 1}},
		{Name: "sendEmail", ID: "welcome-2", Payload: map[string]int{"userId": 2}, Priority: -1},
		{Name: "sendEmail", ID: "welcome-1", Payload: map[string]int{"userId": 1}},
	}
	for receipt, err := range c.EnqueueMany(ctx, slices.Values(tasks)) { // or any iter.Seq[client.Task]
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(receipt.ID, receipt.State, receipt.Duplicate)
	}
	// Output:
	// welcome-1 waiting false
	// priority: -1 is not between 0 and 2097152
	// welcome-1 waiting true
}

// A task that is no longer needed is cancelled, running or not.
func ExampleClient_Cancel() {
	ctx := context.Background()
	c, err := client.Connect(ctx, "redis://127.0.0.1:6379/0", client.Options{By: "billing"})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = c.Close() }()

	err = c.Cancel(ctx, "welcome-123", "the account is closed")
	refused, over := errors.AsType[*eventlog.RefusedError](err)
	switch {
	case over:
		fmt.Println("too late: it is", refused.State)
	case errors.Is(err, eventlog.ErrNotFound):
		fmt.Println("nobody asked for it")
	case err != nil:
		log.Fatal(err)
	}
}
