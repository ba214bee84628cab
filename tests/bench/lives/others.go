package main

import (
	"context"
	"time"
)

const (
	asynqName     = "asynq"
	watermillName = "watermill, redisstream"
	natsAsync     = "JetStream, async publish, files"
	natsSync      = "JetStream, sync publish, files"
)

// others are task queues and brokers that do less than Argus: they keep no job state and
// publish no completion events.
func (b *bench) others() []*contender {
	return []*contender{
		{name: asynqName, lives: b.asynqLives},
		{name: watermillName, lives: b.watermillLives},
		{name: natsAsync, lives: func(ctx context.Context, n int) (time.Duration, error) { return b.natsLives(ctx, n, true) }, idle: b.natsIdle},
		{name: natsSync, lives: func(ctx context.Context, n int) (time.Duration, error) { return b.natsLives(ctx, n, false) }},
	}
}
