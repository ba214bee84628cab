package broker

import (
	"context"
	"errors"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// CheckShards records the client's number of shards for its tenant, unless one was recorded before: then it
// returns a *job.ArgumentError if the numbers differ. Every shard keeps the number, so that each can
// be checked while the others are unavailable. New calls it.
func CheckShards(ctx context.Context, client *redis.Client) error {
	c := client.Conn()
	want := strconv.Itoa(c.Config.Shards)
	for i := range max(1, c.Config.Shards) {
		shard := c.Shard(i)
		if c.Config.Shards > 0 {
			err := shard.Commands.SetArgs(ctx, shard.Keys.Tenant().Shards(), want, goredis.SetArgs{Mode: "NX"}).Err()
			if err != nil && !errors.Is(err, goredis.Nil) {
				return conn.Translate("fix the number of shards", err, conn.Repeatable)
			}
		}
		recorded, err := shard.Commands.Get(ctx, shard.Keys.Tenant().Shards()).Result()
		switch err := conn.Translate("read the number of shards", err, conn.Repeatable); {
		case errors.Is(err, job.ErrUnavailable) && c.Config.Shards > 0:
			return err
		case err == nil && recorded != want:
			return job.Invalid("shards", "is %s, but this prefix was first used with %s: set it to that. To change the number, use another prefix, and switch when the first is drained", want, recorded)
		}
	}
	return nil
}
