package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/hikmaai-io/argus-queue/redis"
)

// store is Redis, or the embedded store.
type store struct {
	client *redis.Client
	name   string
	// redisCLI is the command that looks into the embedded store.
	redisCLI string
	close    func()
}

// openStore opens Redis or the embedded store.
func openStore(c *config, log *slog.Logger) (*store, error) {
	config := c.Redis.Config
	s := &store{name: "Redis at " + config.Addr}
	closeEmbedded := func() {}
	if !c.useRedis() {
		e, err := startEmbedded()
		if err != nil {
			return nil, err
		}
		closeEmbedded = e.close
		config.Addr, config.Username, config.Password, config.DB = e.addr(), "", e.password, 0
		config.Cluster, config.MasterName, config.TLS = false, "", nil
		s.name, s.redisCLI = fmt.Sprintf("embedded at %s (lost on exit); --redis-addr for a real one", e.addr()), e.redisCLI()
	}
	client, err := redis.NewClient(config)
	if err != nil {
		closeEmbedded()
		return nil, codedError{code: exitUnavailable, err: fmt.Errorf(
			"can't use Redis at %s (%s). Is it running, and are --redis-addr and the password right? `argus dev` needs no Redis", config.Addr, rootCause(err))}
	}
	s.client, s.close = client, func() { _ = client.Close(); closeEmbedded() }
	return s, nil
}

// rootCause is what Redis or the network said, without the chain of who noticed it.
func rootCause(err error) string {
	text := strings.TrimSuffix(err.Error(), ".")
	if _, cause, ok := strings.Cut(text, redis.ErrUnavailable.Error()+": "); ok {
		return cause
	}
	return text
}

// checkRedis refuses a Redis whose ACL would let calls fail half-way, and warns of what else may
// lose data. What it can't find out is no reason not to start.
func checkRedis(ctx context.Context, client *redis.Client, c *config, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, c.Redis.ReadTimeout)
	defer cancel()
	permissions, err := redis.CheckPermissions(ctx, client, c.Broker)
	if err != nil {
		log.Warn("could not check the permissions of the Redis user", "error", err)
	}
	if err := permissions.Err(); err != nil {
		return usageError(fmt.Errorf("redis.username: %w", err))
	}
	if err := redis.CheckPrefix(ctx, client); errors.Is(err, redis.ErrInvalid) {
		return usageError(c.rename(err, redisKey))
	} else if err != nil {
		log.Warn("could not check whether another prefix begins with this one", "error", err)
	}
	for _, rule := range slices.Sorted(maps.Keys(permissions.Optional)) {
		log.Warn("the Redis user lacks a permission", "rule", rule, "without_it", permissions.Optional[rule])
	}
	warnOfEviction(ctx, client, log)
	return nil
}

// warnOfEviction warns of a Redis that deletes what it holds when it is full.
func warnOfEviction(ctx context.Context, client *redis.Client, log *slog.Logger) {
	policy, err := redis.EvictionPolicy(ctx, client)
	switch {
	case err != nil:
		log.Debug("Redis does not tell its eviction policy", "error", err)
	case strings.HasPrefix(policy, "allkeys-"):
		log.Warn("Redis deletes whole queues when its memory is full: set maxmemory-policy noeviction", "maxmemory-policy", policy)
	case strings.HasPrefix(policy, "volatile-"):
		log.Warn("Redis deletes states, results, dead letters and request ids when its memory is full: set maxmemory-policy noeviction",
			"maxmemory-policy", policy)
	}
}

// driverLog takes the driver's own log: what matters of it comes as errors anyway.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	d.log.DebugContext(ctx, "redis driver", "message", fmt.Sprintf(format, args...))
}
