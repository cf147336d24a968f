// A client: it asks for a task and waits for its end.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/tasklog/tasklog/services/client"
)

func main() {
	ctx := context.Background()
	c, err := client.Connect(ctx, os.Getenv("TASKLOG_REDIS_URL"), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	got, err := c.Enqueue(ctx, client.Task{
		Name: "sendEmail", ID: "welcome-7", Payload: map[string]any{"userId": 7, "template": "welcome"},
	})
	if err != nil {
		log.Fatal(err)
	}
	end, err := c.Wait(ctx, got.ID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(end.Task.State, string(end.Result), end.Error)
	if err := c.Close(); err != nil {
		log.Print(err)
	}
}
