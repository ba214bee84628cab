package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

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
	if c.useRedis() {
		warnOfEviction(client, log)
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

// warnOfEviction warns of a Redis that deletes queues when it is full.
func warnOfEviction(client *redis.Client, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	policy, err := client.EvictionPolicy(ctx)
	if err != nil {
		log.Debug("Redis does not tell its eviction policy", "error", err)
		return
	}
	if strings.HasPrefix(policy, "allkeys-") {
		log.Warn("Redis deletes whole queues when its memory is full: set maxmemory-policy noeviction", "maxmemory-policy", policy)
	}
}

// driverLog takes the driver's own log: what matters of it comes as errors anyway.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	d.log.DebugContext(ctx, "redis driver", "message", fmt.Sprintf(format, args...))
}
