package broker_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// withShards runs call with clients that are configured with 0 to 6 shards, of a tenant that was first
// used with shardCount.
func withShards(t *testing.T, e redistest.Engine, call func(client *redis.Client, n int)) {
	t.Helper()
	for n := range 7 {
		client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix, Shards: n}))
		if err != nil {
			t.Fatal(err)
		}
		call(client, n)
		_ = client.Close()
	}
}

// checkRefusal checks the error of a start with n shards: the tenant has shardCount.
func checkRefusal(t *testing.T, n int, err error) {
	t.Helper()
	var argument *job.ArgumentError
	isRefused := errors.As(err, &argument) && argument.Field == "shards" && strings.Contains(argument.Problem, fmt.Sprint("first used with ", shardCount))
	if n == shardCount && err != nil || n != shardCount && !isRefused {
		t.Errorf("%d shards: error %v, want a refusal unless there are %d", n, err, shardCount)
	}
}

// The first start fixes the number of shards. A start with another number is refused and writes
// nothing.
func TestNumberOfShardsIsFixedByTheFirstStart(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		withShards(t, e, func(client *redis.Client, n int) { checkRefusal(t, n, broker.CheckShards(s.ctx, client)) })
		for i := shardCount; i < 7; i++ {
			if n := s.raw.Exists(s.ctx, s.engine.Shard(i)+"argus_queues:shards").Val(); n != 0 {
				t.Errorf("a refused start left a key in shard %d", i)
			}
		}
	})
}

// New refuses another number of shards, and returns no broker then.
func TestNewRefusesAnotherNumberOfShards(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		withShards(t, e, func(client *redis.Client, n int) {
			opened, err := broker.New(s.ctx, client, job.Settings{Logger: slog.New(slog.DiscardHandler)})
			checkRefusal(t, n, err)
			if (opened != nil) != (err == nil) {
				t.Errorf("%d shards: New returned the broker %v and the error %v", n, opened, err)
			}
			if opened != nil {
				opened.Close()
			}
		})
	})
}
