package serve

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
)

// check checks the settings that the packages redis and server do not check.
func (c *config) check() error { return errors.Join(c.addresses(), c.positive()) }

// addresses checks the form of the addresses.
func (c *config) addresses() error {
	errs := []error{settings.CheckAddr(c.settings.Name("grpc_addr"), c.GRPCAddr, "7233"), c.redisAddresses()}
	if c.HTTPAddr != "" {
		errs = append(errs, settings.CheckAddr(c.settings.Name("http_addr"), c.HTTPAddr, "7280"))
	}
	return errors.Join(errs...)
}

// redisAddresses checks the addresses of Redis. They are printed and logged, so they must not have
// a password; the error does not print what it refuses.
func (c *config) redisAddresses() error {
	name := c.settings.Name("redis.addr")
	if strings.Contains(c.Redis.Addr, "@") || strings.Contains(c.Redis.Addr, "://") {
		return fmt.Errorf("%s: want host:port without a scheme, user and password; write redis.username and redis.password_file instead, and redis.tls for rediss://", name)
	}
	var errs []error
	for addr := range strings.SplitSeq(strings.ReplaceAll(c.Redis.Addr, " ", ""), ",") {
		errs = append(errs, settings.CheckAddr(name, addr, "6379"))
	}
	return errors.Join(errs...)
}

// positive checks the numbers that must not be zero, which would mean the default.
func (c *config) positive() error {
	positive := map[string]bool{
		"max_connections": c.MaxConnections > 0, "max_connections_per_peer": c.MaxConnectionsPerPeer > 0,
		"max_calls": c.MaxCalls > 0, "max_watched_jobs": c.MaxWatchedJobs > 0, "max_queues": c.Broker.MaxQueues > 0,
		"max_wait": c.MaxWait > 0, "shutdown_timeout": c.ShutdownTimeout > 0,
		"redis.pool_size": c.Redis.PoolSize > 0, "redis.read_timeout": c.Redis.ReadTimeout > 0, "redis.write_timeout": c.Redis.WriteTimeout > 0,
		"max_attempts": c.Broker.Queue.MaxAttempts > 0, "max_crashes": c.Broker.Queue.MaxCrashes > 0,
		"retry_min": c.Broker.Queue.RetryMin > 0, "retry_max": c.Broker.Queue.RetryMax > 0,
		"lease": c.Broker.Queue.Lease > 0, "wait_timeout": c.Broker.Queue.WaitTimeout > 0, "state_ttl": c.Broker.StateTTL > 0, "completion_ttl": c.Broker.CompletionTTL > 0,
		"event_bytes":    c.Broker.EventBytes > 0,
		"request_window": c.Broker.RequestWindow > 0, "dead_letter_ttl": c.Broker.DeadLetterTTL > 0,
	}
	var errs []error
	for _, key := range c.settings.Keys() {
		if ok, isNumber := positive[key]; isNumber && !ok {
			errs = append(errs, fmt.Errorf("%s: must be more than 0", c.settings.Name(key)))
		}
	}
	return errors.Join(errs...)
}
