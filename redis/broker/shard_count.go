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

// CheckShards fixes the number of shards where none was fixed, and else fails with an
// *ArgumentError when the settings say another one. Each shard keeps the number.
func CheckShards(ctx context.Context, client *redis.Client) error {
	c := client.Conn()
	want := strconv.Itoa(c.Config.Shards)
	for i := range max(1, c.Config.Shards) {
		shard := c.Shard(i)
		if c.Config.Shards > 0 {
			err := shard.Commands.SetArgs(ctx, shard.Keys.Shards(), want, goredis.SetArgs{Mode: "NX"}).Err()
			if err != nil && !errors.Is(err, goredis.Nil) {
				return conn.Translate("fix the number of shards", err, conn.Repeatable)
			}
		}
		fixed, err := shard.Commands.Get(ctx, shard.Keys.Shards()).Result()
		switch err := conn.Translate("read the number of shards", err, conn.Repeatable); {
		case errors.Is(err, job.ErrUnavailable) && c.Config.Shards > 0:
			return err
		case err == nil && fixed != want:
			return job.Invalid("shards", "is %s, and this prefix was first used with %s: set it to that. To change it, use another prefix, and move over when the first is worked off", want, fixed)
		}
	}
	return nil
}
