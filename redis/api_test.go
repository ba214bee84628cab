package redis_test

import (
	"context"
	"errors"
	"maps"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// The documented signatures. A program written against them must compile when only its import path changes.
var (
	_ func(redis.Config) (*redis.Client, error) = redis.NewClient
	_ interface {
		Ping(context.Context) error
		Set(ctx context.Context, key, value string, ttl time.Duration) error
		Get(ctx context.Context, key string) (string, error)
		Close() error
		Prefix() string
		PrefixedKey(key string) string
		Redis() goredis.UniversalClient
	} = (*redis.Client)(nil)

	_ func(*redis.Client, redis.StreamConsumerConfig) (*redis.StreamConsumer, error) = redis.NewStreamConsumer
	_ interface {
		EnsureGroup(context.Context) error
		Read(ctx context.Context, count int64) ([]redis.StreamMessage, error)
		Ack(ctx context.Context, id string) error
		AckMany(ctx context.Context, ids ...string) error
		Publish(context.Context, map[string]any) (string, error)
		StreamKey() string
	} = (*redis.StreamConsumer)(nil)
	_ = struct {
		ID     string
		Values map[string]string
	}(redis.StreamMessage{})

	_ func(*redis.Client, redis.StateManagerConfig) *redis.StateManager = redis.NewStateManager
	_ interface {
		InitState(ctx context.Context, jobID string, fields map[string]string) error
		SetField(ctx context.Context, jobID, field, value string) error
		SetFields(ctx context.Context, jobID string, fields map[string]string) error
		SetJSON(ctx context.Context, jobID, field string, value any) error
		GetField(ctx context.Context, jobID, field string) (string, error)
		GetJSON(ctx context.Context, jobID, field string, dest any) error
		GetAllFields(ctx context.Context, jobID string) (map[string]string, error)
		SetTTL(ctx context.Context, jobID string, ttl time.Duration) error
		Delete(ctx context.Context, jobID string) error
		Exists(ctx context.Context, jobID string) (bool, error)
		JobKey(jobID string) string
	} = (*redis.StateManager)(nil)
)

func TestNewStreamConsumerRequiresNames(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	whole := redis.StreamConsumerConfig{Stream: "s", ConsumerGroup: "g", ConsumerName: "c"}
	if _, err := redis.NewStreamConsumer(client, whole); err != nil {
		t.Error(err)
	}
	without := func(change func(*redis.StreamConsumerConfig)) redis.StreamConsumerConfig {
		config := whole
		change(&config)
		return config
	}
	for field, err := range map[string]error{
		"client":         second(redis.NewStreamConsumer(nil, whole)),
		"stream":         second(redis.NewStreamConsumer(client, without(func(c *redis.StreamConsumerConfig) { c.Stream = "" }))),
		"consumer_group": second(redis.NewStreamConsumer(client, without(func(c *redis.StreamConsumerConfig) { c.ConsumerGroup = "" }))),
		"consumer_name":  second(redis.NewStreamConsumer(client, without(func(c *redis.StreamConsumerConfig) { c.ConsumerName = "" }))),
	} {
		var bad *redis.ArgumentError
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("without %s: %v, want an ArgumentError that names it", field, err)
		}
	}
}

func TestStreamConsumer(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		ctx, client := redistest.Context(t), connect(t, e)
		member := func(name, start string) *redis.StreamConsumer {
			t.Helper()
			c, err := redis.NewStreamConsumer(client, redis.StreamConsumerConfig{Stream: "tasks", ConsumerGroup: "workers", ConsumerName: name,
				BlockTimeout: time.Millisecond, StartID: start})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		consumer, own, other := member("c1", ">"), member("c1", "0"), member("c2", "0")
		if consumer.StreamKey() != e.Prefix+"tasks" {
			t.Error("stream key:", consumer.StreamKey())
		}
		first, err := consumer.Publish(ctx, map[string]any{"text": "a", "bytes": []byte("b"), "int": 60, "float": 0.5, "true": true, "false": false,
			"time": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "duration": time.Second, "nil": nil})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := consumer.EnsureGroup(ctx); err != nil {
				t.Fatal("an existing group is not an error:", err)
			}
		}
		secondID, err := consumer.Publish(ctx, map[string]any{"text": "later"})
		if err != nil {
			t.Fatal(err)
		}
		messages, err := consumer.Read(ctx, 1)
		want := map[string]string{"text": "a", "bytes": "b", "int": "60", "float": "0.5", "true": "1", "false": "0",
			"time": "2026-01-02T03:04:05Z", "duration": "1000000000", "nil": ""}
		if err != nil || len(messages) != 1 || messages[0].ID != first || !maps.Equal(messages[0].Values, want) {
			t.Fatalf("messages published before the group existed come first: %v %v", messages, err)
		}
		if messages, err = consumer.Read(ctx, 10); err != nil || len(messages) != 1 || messages[0].ID != secondID {
			t.Fatal(messages, err)
		}
		if messages, err = own.Read(ctx, 10); err != nil || len(messages) != 2 {
			t.Error("own pending entries:", messages, err)
		}
		if messages, err = other.Read(ctx, 10); err != nil || len(messages) != 0 {
			t.Error("pending entries of another consumer:", messages, err)
		}
		if messages, err = consumer.Read(ctx, 10); err != nil || len(messages) != 0 {
			t.Error("a read without new messages:", messages, err)
		}
		if err := errors.Join(consumer.Ack(ctx, first), consumer.Ack(ctx, first), consumer.AckMany(ctx), consumer.AckMany(ctx, first, secondID)); err != nil {
			t.Error(err)
		}
		if messages, err = own.Read(ctx, 10); err != nil || len(messages) != 0 {
			t.Error("pending after the acknowledgement:", messages, err)
		}
	})
}

func TestStateManager(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		ctx, client := redistest.Context(t), connect(t, e)
		states := redis.NewStateManager(client, redis.StateManagerConfig{DefaultTTL: time.Hour})
		must := func(errs ...error) {
			t.Helper()
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
		}
		fields := func(want map[string]string) {
			t.Helper()
			got, err := states.GetAllFields(ctx, "job")
			if err != nil || got == nil || !maps.Equal(got, want) {
				t.Fatalf("state %v %v, want %v", got, err, want)
			}
		}
		exists := func(want bool) {
			t.Helper()
			if got, err := states.Exists(ctx, "job"); got != want || err != nil {
				t.Fatalf("exists: %v %v, want %v", got, err, want)
			}
		}
		ttl := func(least, most time.Duration) {
			t.Helper()
			if got := client.Redis().PTTL(ctx, states.JobKey("job")).Val(); got < least || got > most {
				t.Fatalf("TTL %v, want %v to %v", got, least, most)
			}
		}

		// A job without a state.
		fields(map[string]string{})
		exists(false)
		must(states.SetTTL(ctx, "job", time.Minute), states.Delete(ctx, "job"), states.SetFields(ctx, "job", nil))
		exists(false)
		_, err := states.GetField(ctx, "job", "f")
		if !errors.Is(err, goredis.Nil) || !errors.Is(err, redis.ErrJobNotFound) {
			t.Error("a field of a missing job:", err)
		}

		must(states.InitState(ctx, "job", map[string]string{"status": "pending", "scanners": "2"}))
		ttl(time.Minute, time.Hour)
		_, err = states.GetField(ctx, "job", "f")
		if !errors.Is(err, goredis.Nil) || !errors.Is(err, redis.ErrFieldNotFound) {
			t.Error("a missing field:", err)
		}
		if err := states.GetJSON(ctx, "job", "f", new(int)); !errors.Is(err, goredis.Nil) {
			t.Error("a missing field as JSON:", err)
		}
		must(states.SetTTL(ctx, "job", time.Minute), states.SetField(ctx, "job", "argus_status", "scanning"))
		ttl(time.Second, time.Minute) // a write keeps the TTL
		must(states.InitState(ctx, "job", map[string]string{"status": "running"}))
		ttl(2*time.Minute, time.Hour) // InitState starts it again
		must(states.SetFields(ctx, "job", map[string]string{"progress": "50"}), states.SetFields(ctx, "job", map[string]string{}),
			states.SetJSON(ctx, "job", "summary", map[string]int{"high": 1}))
		fields(map[string]string{"status": "running", "scanners": "2", "argus_status": "scanning", "progress": "50", "summary": `{"high":1}`})
		var summary map[string]int
		must(states.GetJSON(ctx, "job", "summary", &summary))
		if summary["high"] != 1 {
			t.Error(summary)
		}
		exists(true)
		must(states.Delete(ctx, "job"))
		exists(false)
	})
}

func TestStateKeyPrefixIsUsedAsGiven(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.Embedded(t))
	for given, want := range map[string]string{"": "job_state:", "job_state:": "job_state:", "scan": "scan", "scan:state/": "scan:state/"} {
		if got := redis.NewStateManager(client, redis.StateManagerConfig{KeyPrefix: given}).JobKey("j"); got != client.Prefix()+want+"j" {
			t.Errorf("key prefix %q: %q", given, got)
		}
	}
}

func second[T any](_ T, err error) error { return err }
