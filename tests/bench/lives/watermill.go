package main

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"
)

func (b *bench) watermillLives(ctx context.Context, n int) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := goredis.NewClient(&goredis.Options{Addr: b.RedisAddr, Protocol: 2, PoolSize: callers})
	defer client.Close()
	publisher, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
	if err != nil {
		return 0, err
	}
	c := newCountdown(n)
	for range lanes {
		subscriber, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: client, ConsumerGroup: "g", OldestId: "0"}, watermill.NopLogger{})
		if err != nil {
			return 0, err
		}
		messages, err := subscriber.Subscribe(ctx, "tasks")
		if err != nil {
			return 0, err
		}
		go func() {
			for m := range messages {
				m.Ack()
				c.count()
			}
		}()
	}
	return timed(func() error {
		return c.wait(byCallers(n, func(caller, i int) error {
			return publisher.Publish("tasks", message.NewMessage(watermill.NewUUID(), payload(jobName(caller, i))))
		}))
	})
}
