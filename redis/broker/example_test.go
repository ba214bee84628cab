package broker_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// store starts a store for the examples; in production Addr is a Redis server.
func store() (*redis.Client, func()) {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	client, err := redis.NewClient(redis.Config{
		Addr:         server.Addr(),
		Password:     "",
		DB:           0,
		Prefix:       "argus:",
		PoolSize:     10,
		ReadTimeout:  5 * time.Second,
		WriteTimeout: 5 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	return client, func() { _ = client.Close(); server.Close() }
}

func ExampleBroker() {
	client, done := store()
	defer done()
	ctx := context.Background()

	b, err := broker.New(ctx, client, job.Settings{})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()

	_, _, err = b.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: "job-1", Scanners: []string{"trivy"}}})
	if err != nil {
		log.Fatal(err)
	}
	deliveries, err := b.Read(ctx, queue.ReadRequest{Consumer: "worker-1", Max: 10, Wait: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	for _, d := range deliveries {
		result := job.Result{Status: job.StatusCompleted, Fields: map[string]string{"findings": "3"}}
		if _, err := b.Complete(ctx, d.Lease.Token(), result); err != nil {
			log.Fatal(err)
		}
	}
	event, err := b.Await(ctx, "job-1", time.Second)
	fmt.Println(event.Status, event.Fields["findings"], err)
	// Output: completed 3 <nil>
}
