package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// The number of shards is fixed by the first who starts.
func TestShardsAreFixed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		for n := range 7 {
			client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix, Shards: n}))
			if err != nil {
				t.Fatal(err)
			}
			err = broker.CheckShards(s.ctx, client)
			var argument *job.ArgumentError
			if n == shardCount && err != nil || n != shardCount && (!errors.As(err, &argument) || !strings.Contains(argument.Problem, "first used with 4")) {
				t.Errorf("%d shards: %v", n, err)
			}
			_ = client.Close()
		}
		for i := shardCount; i < 7; i++ {
			if n := s.raw.Exists(s.ctx, s.engine.Shard(i)+"argus_queues:shards").Val(); n != 0 {
				t.Error("a refused start left a key in shard", i)
			}
		}
	})
}
