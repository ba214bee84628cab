package redis_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/hikmaai-io/argus-queue/redis"
)

// store starts an in-memory store for the examples; in production Addr is that of a Redis.
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

func ExampleNewClient() {
	client, done := store()
	defer done()
	ctx := context.Background()

	fmt.Println(client.Ping(ctx), client.Prefix(), client.PrefixedKey("greeting"))
	fmt.Println(client.Set(ctx, "greeting", "hello", time.Minute))
	fmt.Println(client.Get(ctx, "greeting"))
	fmt.Println(client.Redis().Get(ctx, "argus:greeting").Val())
	// Output:
	// <nil> argus: argus:greeting
	// <nil>
	// hello <nil>
	// hello
}

func ExampleNewStreamConsumer() {
	client, done := store()
	defer done()
	ctx := context.Background()

	consumer, err := redis.NewStreamConsumer(client, redis.StreamConsumerConfig{
		Stream:        "argus_task_queue",
		ConsumerGroup: "argus-workers",
		ConsumerName:  "worker-1",
		BlockTimeout:  100 * time.Millisecond,
		StartID:       ">",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(consumer.EnsureGroup(ctx), consumer.EnsureGroup(ctx), consumer.StreamKey())
	if _, err := consumer.Publish(ctx, map[string]any{"job_id": "job-1", "timeout_seconds": 60}); err != nil {
		log.Fatal(err)
	}
	messages, err := consumer.Read(ctx, 10)
	fmt.Println(len(messages), messages[0].Values["job_id"], messages[0].Values["timeout_seconds"], err)
	fmt.Println(consumer.Ack(ctx, messages[0].ID), consumer.AckMany(ctx, messages[0].ID))
	messages, err = consumer.Read(ctx, 10) // nothing within BlockTimeout
	fmt.Println(len(messages), err)
	// Output:
	// <nil> <nil> argus:argus_task_queue
	// 1 job-1 60 <nil>
	// <nil> <nil>
	// 0 <nil>
}

func ExampleNewStateManager() {
	client, done := store()
	defer done()
	ctx := context.Background()

	states := redis.NewStateManager(client, redis.StateManagerConfig{KeyPrefix: "job_state:", DefaultTTL: time.Hour})
	fmt.Println(states.JobKey("job-1"))
	fmt.Println(states.InitState(ctx, "job-1", map[string]string{"status": "pending", "scanners": "2"}))
	fmt.Println(states.SetField(ctx, "job-1", "status", "running"))
	fmt.Println(states.SetFields(ctx, "job-1", map[string]string{"trivy_status": "done", "progress": "0.5"}))
	fmt.Println(states.SetJSON(ctx, "job-1", "summary", map[string]int{"high": 1}))
	fmt.Println(states.GetField(ctx, "job-1", "progress"))
	var summary map[string]int
	fmt.Println(states.GetJSON(ctx, "job-1", "summary", &summary), summary["high"])
	fmt.Println(states.GetAllFields(ctx, "job-1"))
	fmt.Println(states.SetTTL(ctx, "job-1", time.Minute), states.Delete(ctx, "job-1"))
	fmt.Println(states.Exists(ctx, "job-1"))
	// Output:
	// argus:job_state:job-1
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// 0.5 <nil>
	// <nil> 1
	// map[progress:0.5 scanners:2 status:running summary:{"high":1} trivy_status:done] <nil>
	// <nil> <nil>
	// false <nil>
}
