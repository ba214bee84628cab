package serve

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// checkRedis refuses a Redis whose ACL would make calls fail half-way, and warns of settings that
// may lose data. A check that fails to run only logs a warning.
func checkRedis(ctx context.Context, client *redis.Client, c *config, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, c.Redis.ReadTimeout)
	defer cancel()
	permissions, err := admin.CheckPermissions(ctx, client, c.Broker)
	if err != nil {
		log.Warn("could not check the permissions of the Redis user", "error", err)
	}
	if err := permissions.Err(); err != nil {
		return shell.Usagef("redis.username: %w", err)
	}
	if err := admin.CheckPrefix(ctx, client); errors.Is(err, job.ErrInvalid) {
		return c.redisError(err)
	} else if err != nil {
		log.Warn("could not check whether another prefix begins with this one", "error", err)
	}
	for _, rule := range slices.Sorted(maps.Keys(permissions.Optional)) {
		log.Warn("the Redis user lacks a permission", "rule", rule, "without_it", permissions.Optional[rule])
	}
	warnOfEviction(ctx, client, log)
	return nil
}

// warnOfEviction warns of a Redis that deletes keys when its memory is full.
func warnOfEviction(ctx context.Context, client *redis.Client, log *slog.Logger) {
	policy, err := admin.EvictionPolicy(ctx, client)
	switch {
	case err != nil:
		log.Debug("could not read the eviction policy of Redis", "error", err)
	case strings.HasPrefix(policy, "allkeys-"):
		log.Warn("Redis deletes whole queues when its memory is full: set maxmemory-policy noeviction", "maxmemory-policy", policy)
	case strings.HasPrefix(policy, "volatile-"):
		log.Warn("Redis deletes states, results, dead letters and request ids when its memory is full: set maxmemory-policy noeviction",
			"maxmemory-policy", policy)
	}
}
