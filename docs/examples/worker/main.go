// A worker: it runs the tasks named sendEmail of every queue.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/tasklog/tasklog/services/worker"
)

// Email is the payload.
type Email struct {
	UserID   int    `json:"userId"`
	Template string `json:"template"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	w, err := worker.Connect(ctx, os.Getenv("TASKLOG_REDIS_URL"), worker.Config{Concurrency: 10})
	if err != nil {
		log.Fatal(err)
	}
	worker.Handle(w, "sendEmail", func(ctx context.Context, t worker.Task[Email]) (any, error) {
		fmt.Println("attempt", t.Attempt, "at", t.IdempotencyKey())
		if t.Payload.Template == "" {
			return nil, worker.NonRetryable(fmt.Errorf("user %d: no template", t.Payload.UserID))
		}
		return map[string]any{"sent": t.Payload.Template}, nil
	})
	if err := w.Run(ctx); err != nil { // until SIGTERM or Ctrl-C, and what runs then is finished
		log.Print(err)
	}
}
