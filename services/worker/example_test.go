package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/tasklog/tasklog/services/worker"
	"github.com/tasklog/tasklog/services/worker/workertest"
)

// A worker is a program with a handler for each name of a task.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, err := worker.Connect(ctx, "redis://127.0.0.1:6379/0", worker.Config{})
	if err != nil {
		log.Fatal(err)
	}
	type email struct {
		UserID   int    `json:"userId"`
		Template string `json:"template"`
	}
	worker.Handle(w, "sendEmail", func(ctx context.Context, t worker.Task[email]) (any, error) {
		fmt.Println("to", t.Payload.UserID, "once:", t.IdempotencyKey())
		return nil, nil
	})
	if err := w.Run(ctx); err != nil { // until the signal comes
		log.Fatal(err)
	}
}

// Middleware of Watermill stands around every handler: this one tells how long each attempt took.
func ExampleWorker_Use() {
	w, err := worker.Connect(context.Background(), "redis://127.0.0.1:6379/0", worker.Config{Queues: []string{"mail"}})
	if err != nil {
		log.Fatal(err)
	}
	w.Use(func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			began := time.Now()
			defer func() { log.Print(m.Metadata.Get(worker.MetaName), " took ", time.Since(began)) }()
			return next(m)
		}
	})
}

// A handler for many names decodes the payload itself.
func ExampleWorker_HandlePattern() {
	w, err := worker.Connect(context.Background(), "redis://127.0.0.1:6379/0", worker.Config{})
	if err != nil {
		log.Fatal(err)
	}
	w.HandlePattern("img.*", func(_ context.Context, t worker.Task[json.RawMessage]) (any, error) {
		return map[string]any{"bytes": len(t.Payload), "what": t.Name}, nil
	})
}

// What must not be called too often gets a queue of its own, and a worker that runs few at once.
func ExampleConfig() {
	w, err := worker.Connect(context.Background(), "redis://127.0.0.1:6379/0", worker.Config{Queues: []string{"sms"}, Concurrency: 2})
	if err != nil {
		log.Fatal(err)
	}
	worker.Handle(w, "sendSMS", func(ctx context.Context, t worker.Task[json.RawMessage]) (any, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://sms.example.com/send", bytes.NewReader(t.Payload))
		if err != nil {
			return nil, worker.NonRetryable(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		defer func() { _ = resp.Body.Close() }() // it was only looked at
		if resp.StatusCode == http.StatusTooManyRequests {
			return nil, worker.RetryAfter(errors.New(resp.Status), time.Minute)
		}
		return resp.Status, nil
	})
}

// An error that no retry can help fails the task at once.
func ExampleNonRetryable() {
	gone := func(context.Context, worker.Task[any]) (any, error) {
		return nil, worker.NonRetryable(errors.New("the account is closed"))
	}
	got := workertest.Run(context.Background(), gone, nil, workertest.Attempt{})
	fmt.Println(got.Reason, "|", got.Err, "| over:", got.Final)
	// Output:
	// rejected | the account is closed | over: true
}

// A service that says when to come back is believed more than the task's backoff.
func ExampleRetryAfter() {
	busy := func(context.Context, worker.Task[any]) (any, error) {
		return nil, worker.RetryAfter(errors.New(http.StatusText(http.StatusTooManyRequests)), time.Minute)
	}
	got := workertest.Run(context.Background(), busy, nil, workertest.Attempt{})
	fmt.Println(got.Err, "| again in", got.RetryIn)
	// Output:
	// Too Many Requests | again in 1m0s
}
