package bus_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tasklog/tasklog/infra/bus"
)

// A router of your own follows the log through the stock watermill-redisstream subscriber. It gets a
// Redis client of its own, which it closes; the unmarshaller that never fails; and a supervisor.
func ExampleSupervise() {
	server := miniredis.NewMiniRedis() // in a program: your Redis
	if err := server.Start(); err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if _, err := server.XAdd("tasklog:{0}:events", "1764000000000-0", []string{ // in a program: Tasklog does
		"type", "TaskCancelled", "task", "welcome-123", "v", "1",
		"data", `{"queue":"mail","name":"sendEmail","by":"ops","from":"waiting"}`,
	}); err != nil {
		log.Fatal(err)
	}

	source := bus.Supervise(func() (message.Subscriber, error) {
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
		bus.NamePositions(client) // else the message does not say when and where it happened
		return redisstream.NewSubscriber(redisstream.SubscriberConfig{
			Client: client, Unmarshaller: bus.Unmarshaller{}, ConsumerGroup: "my-app", Consumer: "my-host",
			BlockTime: 100 * time.Millisecond, DisableIndefiniteInitialBlock: true,
			// Whatever the error is, the supervisor begins again, after a pause.
			ShouldStopOnReadErrors: func(error) bool { return true },
		}, nil)
	}, nil, nil)

	router, err := message.NewRouter(message.RouterConfig{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	router.AddConsumerHandler("my-handler", "tasklog:{0}:events", source, func(msg *message.Message) error {
		event, err := bus.Decode(msg)
		if err != nil {
			return nil // no event, and never will be
		}
		fmt.Println(event.ID.Time().Format(time.RFC3339), event.Data.Type(), event.Task)
		stop()
		return nil
	})
	if err := router.Run(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: 2025-11-24T16:00:00Z TaskCancelled welcome-123
}
