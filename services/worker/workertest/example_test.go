package workertest_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/services/worker"
	"github.com/tasklog/tasklog/services/worker/workertest"
)

// Email is the payload of a task.
type Email struct {
	UserID   int    `json:"userId"`
	Template string `json:"template"`
}

// sendEmail is a handler: a program gives it to worker.Handle.
func sendEmail(_ context.Context, t worker.Task[Email]) (any, error) {
	switch {
	case t.Payload.UserID == 0:
		return nil, worker.NonRetryable(errors.New("no user has the id 0"))
	case t.Attempt == 1:
		return nil, errors.New("the mail server is busy")
	}
	return map[string]string{"sent": t.Payload.Template}, nil
}

func ExampleRun() {
	ctx := context.Background()
	welcome := Email{UserID: 123, Template: "welcome"}

	first := workertest.Run(ctx, sendEmail, welcome, workertest.Attempt{
		Backoff: events.Backoff{Type: events.BackoffFixed, DelayMs: 2000},
	})
	fmt.Println(first.Err, "| again in", first.RetryIn)

	second := workertest.Run(ctx, sendEmail, welcome, workertest.Attempt{Number: 2})
	fmt.Println(string(second.Result))

	nobody := workertest.Run(ctx, sendEmail, Email{}, workertest.Attempt{})
	fmt.Println(nobody.Reason, nobody.Final)
	// Output:
	// the mail server is busy | again in 2s
	// {"sent":"welcome"}
	// rejected true
}

// A payload is decoded as by a worker: what does not fit fails the task for good, and says where.
func ExampleRun_payload() {
	got := workertest.Run(context.Background(), sendEmail, map[string]any{"userId": "123"}, workertest.Attempt{})
	fmt.Println(got.Error)
	// Output:
	// payload.userId: a JSON string does not fit into int
}

// A handler is tried with the context that it gets when its task is cancelled.
func ExampleRun_cancelled() {
	ctx, cancel := context.WithCancelCause(context.Background())
	patient := func(ctx context.Context, _ worker.Task[any]) (any, error) {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Hour):
			return "done", nil
		}
	}
	cancel(worker.ErrCancelled)
	fmt.Println(workertest.Run(ctx, patient, nil, workertest.Attempt{}).Err)
	// Output:
	// the task was cancelled
}
