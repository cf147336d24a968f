package relay_test

import (
	"context"
	"fmt"
	"log"

	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/alicebob/miniredis/v2"

	"github.com/tasklog/tasklog/events"
	"github.com/tasklog/tasklog/infra/bus"
	"github.com/tasklog/tasklog/infra/eventlog"
	"github.com/tasklog/tasklog/services/relay"
)

// The same router with another end: any publisher of Watermill (Kafka, NATS, SQL, …) in place of the
// webhook. Here it is a Go channel.
func ExampleForward() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := miniredis.NewMiniRedis() // in a program: your Redis
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	conn, err := eventlog.Connect("redis://" + server.Addr())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	tasks, err := eventlog.Open(ctx, conn, eventlog.Config{})
	if err != nil {
		log.Fatal(err)
	}

	channel := gochannel.NewGoChannel(gochannel.Config{}, nil)
	defer func() { _ = channel.Close() }()
	messages, err := channel.Subscribe(ctx, "task-events")
	if err != nil {
		log.Fatal(err)
	}
	r, err := relay.Forward(tasks, relay.Config{Group: "to-channel"}, channel, "task-events", nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()

	// A task ends, by being cancelled.
	if _, err := tasks.Request(ctx, eventlog.Request{
		Task: "welcome-123", Label: events.Label{Queue: "mail", Name: "sendEmail"}, Definition: events.Definition{MaxAttempts: 1},
	}); err != nil {
		log.Fatal(err)
	}
	if _, err := tasks.Cancel(ctx, "welcome-123", "ops", "user left"); err != nil {
		log.Fatal(err)
	}
	msg := <-messages
	event, err := bus.Decode(msg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.Data.Type(), event.Task)
	fmt.Println(string(msg.Payload))
	msg.Ack()

	stop()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	// Output:
	// TaskCancelled welcome-123
	// {"queue":"mail","name":"sendEmail","by":"ops","reason":"user left","from":"waiting"}
}
