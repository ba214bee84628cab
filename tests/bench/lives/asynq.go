package main

import (
	"context"
	"time"

	"github.com/hibiken/asynq"
)

func (b *bench) asynqLives(_ context.Context, n int) (time.Duration, error) {
	redis := asynq.RedisClientOpt{Addr: b.RedisAddr, PoolSize: callers}
	c := newCountdown(n)
	server := asynq.NewServer(redis, asynq.Config{Concurrency: callers, LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		c.count()
		return nil
	})); err != nil {
		return 0, err
	}
	defer server.Shutdown()
	client := asynq.NewClient(redis)
	defer client.Close()
	return timed(func() error {
		err := byCallers(n, func(caller, i int) error {
			_, err := client.Enqueue(asynq.NewTask("scan", payload(jobName(caller, i))))
			return err
		})
		return c.wait(err)
	})
}
