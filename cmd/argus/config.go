package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/redis"
)

// defaultAddr is where a server listens, and where a client looks for it.
const defaultAddr = "localhost:7233"

// config is what dev and serve are told.
type config struct {
	*settings

	GRPCAddr        string
	HTTPAddr        string
	HTTPPprof       bool
	MaxWait         time.Duration
	ShutdownTimeout time.Duration
	LogLevel        string
	LogFormat       string
	Redis           redisConfig
	Broker          redis.BrokerConfig
	limits
	encoding string
	groups   names
	isDev    bool
}

// limits bound what all clients together may have of a server.
type limits struct {
	MaxConnections, MaxConnectionsPerPeer, MaxCalls, MaxWatchedJobs int
}

// useRedis says whether to use a Redis. For dev that must be said, by naming it or by
// redis.enabled.
func (c *config) useRedis() bool {
	if c.isDev && !c.given("redis.enabled") {
		return c.given("redis.addr")
	}
	return c.Redis.Enabled
}

type redisConfig struct {
	redis.Config
	Enabled              bool
	PasswordFile         string
	SentinelPasswordFile string
	TLS                  tlsFiles
}

// newConfig declares the settings: this is the one place where each is written.
func newConfig(flags *pflag.FlagSet) *config {
	c := &config{settings: newSettings(flags, "config", "YAML file with settings")}
	c.text(&c.GRPCAddr, "grpc_addr", defaultAddr, "address for gRPC, host:port")
	c.text(&c.HTTPAddr, "http_addr", "", "address for HTTP, host:port: /metrics for Prometheus, /healthz; empty means none")
	c.toggle(&c.HTTPPprof, "http_pprof", false, "serve Go's profiles on http_addr, under /debug/pprof/; on loopback only")
	c.number(&c.MaxConnections, "max_connections", 10000, "how many clients may be connected; more are refused")
	c.number(&c.MaxConnectionsPerPeer, "max_connections_per_peer", 5000, "how many clients may be connected from one address (IPv6: one /64 network); more are refused")
	c.number(&c.MaxCalls, "max_calls", 100000, "how many calls may be open at once, streams among them; more are refused")
	c.number(&c.MaxWatchedJobs, "max_watched_jobs", 1000000, "how many jobs all streams together may watch; more are refused")
	c.duration(&c.MaxWait, "max_wait", time.Minute, "how long a Read or an Await may wait")
	c.duration(&c.ShutdownTimeout, "shutdown_timeout", 10*time.Second, "how long calls may take to finish on shutdown")
	c.text(&c.LogLevel, "log.level", "info", "debug, info, warn or error; debug logs every call")
	c.text(&c.LogFormat, "log.format", "auto", "text, json, or auto: text on a terminal")

	r := &c.Redis
	c.toggle(&r.Enabled, "redis.enabled", true, "use Redis; false means an in-memory store that is lost on exit")
	c.text(&r.Addr, "redis.addr", "localhost:6379", "Redis, host:port; several separated by commas for Cluster or Sentinel")
	c.text(&r.Username, "redis.username", "", "ACL user")
	c.text(&r.Password, "redis.password", "", "password; better in a file")
	c.text(&r.PasswordFile, "redis.password_file", "", "file with the password")
	c.number(&r.DB, "redis.db", 0, "database number")
	c.text(&r.Prefix, "redis.prefix", "argus:", "in front of every key; Cluster needs a hash tag, such as {argus}:, or shards")
	c.number(&r.Shards, "redis.shards", 0, "spread the jobs over this many prefixes, such as {argus:00}:, and so over the masters of a Cluster; fixed at the first start; 0 means one prefix as it is")
	c.number(&r.PoolSize, "redis.pool_size", 10, "connections for commands")
	c.duration(&r.ReadTimeout, "redis.read_timeout", 5*time.Second, "how long an answer may take")
	c.duration(&r.WriteTimeout, "redis.write_timeout", 5*time.Second, "how long sending a command may take")
	c.toggle(&r.Cluster, "redis.cluster", false, "the addresses are nodes of a Redis Cluster")
	c.text(&r.MasterName, "redis.sentinel_master", "", "the addresses are sentinels, and this is their master's name")
	c.text(&r.SentinelPassword, "redis.sentinel_password", "", "the sentinels' password; better in a file")
	c.text(&r.SentinelPasswordFile, "redis.sentinel_password_file", "", "file with the sentinels' password")
	r.TLS.declare(c.settings, "redis.")

	b := &c.Broker
	c.text(&b.DefaultQueue, "queue", redis.DefaultQueue, "the queue of calls that name none")
	c.text(&b.DefaultGroup, "group", redis.DefaultGroup, "the consumer group of calls that name none")
	c.list(&c.groups, "groups", "consumer groups, beside group, that tasks are kept for and that may read, separated by commas; any: a reader creates the group that it names")
	c.text(&c.encoding, "encoding", string(redis.EncodingFields), "how tasks are written: fields, or json for raw peers that read one field, data")
	c.duration(&b.Queue.Lease, "lease", redis.DefaultLease, "how long a worker has until it must settle or extend")
	c.number(&b.Queue.MaxAttempts, "max_attempts", 10, "how often a task may be given back before it is a dead letter")
	c.number(&b.Queue.MaxCrashes, "max_crashes", 10, "how many workers may vanish with a task before it is a dead letter")
	c.duration(&b.Queue.RetryMin, "retry_min", time.Second, "how long a task waits that was given back once; doubles each time")
	c.duration(&b.Queue.RetryMax, "retry_max", 10*time.Minute, "how long a task that was given back waits at most")
	c.number(&b.Queue.MaxLength, "max_length", 0, "how many tasks a queue may hold, waiting, delayed and leased; 0 means any number")
	c.number(&b.MaxQueues, "max_queues", redis.DefaultMaxQueues, "how many queues there may be; those that the settings name are not refused")
	c.number(&b.Queue.WaitReplicas, "wait_replicas", 0, "how many replicas of Redis must have a publish or a result before it is acknowledged; 0 means none")
	c.duration(&b.Queue.WaitTimeout, "wait_timeout", time.Second, "how long to wait for them, at most half of redis.read_timeout; then the call fails and is to be repeated")
	c.duration(&b.StateTTL, "state_ttl", redis.DefaultStateTTL, "how long a job's state is kept")
	c.duration(&b.CompletionTTL, "completion_ttl", redis.DefaultStateTTL, "how long a job's completion events are kept")
	c.number(&b.EventBytes, "event_bytes", redis.DefaultEventBytes, "how many bytes of events a job may have before its terminal one")
	c.duration(&b.RequestWindow, "request_window", 24*time.Hour, "how long a request_id is remembered after the last call with it")
	c.duration(&b.DeadLetterTTL, "dead_letter_ttl", 30*24*time.Hour, "how long dead letters are kept")

	c.sections["queues"] = c.readQueues
	return c
}

// readQueues reads the YAML section queues: settings of single queues.
func (c *config) readQueues(text []byte) error {
	return yaml.UnmarshalWithOptions(text, &c.Broker.Queues, yaml.Strict())
}

// load resolves the settings and checks them, all of them at once.
func (c *config) load(env func(string) (string, bool)) error {
	if err := c.resolve(env); err != nil {
		return usageError(err)
	}
	c.Broker.Queue.Encoding = redis.Encoding(c.encoding)
	c.Broker.Queue.Groups = redis.Groups(c.groups)
	var err error
	errs := []error{
		c.secretFile(&c.Redis.Password, "redis.password", c.Redis.PasswordFile),
		c.secretFile(&c.Redis.SentinelPassword, "redis.sentinel_password", c.Redis.SentinelPasswordFile),
		c.addresses(),
		c.positive(),
	}
	c.Redis.Config.TLS, err = c.Redis.TLS.load(c.settings, "redis.")
	errs = append(errs, err, c.rename(c.Redis.Validate(), redisKey), c.rename(c.Broker.Validate(), brokerKey))
	if err := errors.Join(errs...); err != nil {
		return usageError(err)
	}
	return nil
}

// redisKey is the setting of a field of redis.Config.
func redisKey(field string) string { return "redis." + field }

// brokerKey is the setting of a field of redis.BrokerConfig.
func brokerKey(field string) string {
	switch field {
	case "default_queue", "default_group":
		return strings.TrimPrefix(field, "default_")
	}
	return strings.TrimPrefix(field, "queue.")
}

// addresses checks the form of the addresses.
func (c *config) addresses() error {
	errs := []error{checkAddr(c.name("grpc_addr"), c.GRPCAddr, "7233"), c.redisAddresses()}
	if c.HTTPAddr != "" {
		errs = append(errs, checkAddr(c.name("http_addr"), c.HTTPAddr, "7280"))
	}
	return errors.Join(errs...)
}

// redisAddresses checks the addresses of Redis. They are printed and logged, so they hold no
// password; what is refused is not printed either.
func (c *config) redisAddresses() error {
	name := c.name("redis.addr")
	if strings.Contains(c.Redis.Addr, "@") || strings.Contains(c.Redis.Addr, "://") {
		return fmt.Errorf("%s: want host:port without a scheme, user and password; write redis.username and redis.password_file instead, and redis.tls for rediss://", name)
	}
	var errs []error
	for addr := range strings.SplitSeq(strings.ReplaceAll(c.Redis.Addr, " ", ""), ",") {
		errs = append(errs, checkAddr(name, addr, "6379"))
	}
	return errors.Join(errs...)
}

// positive checks the numbers that can't be zero: zero would mean the default.
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
	for _, key := range c.keys {
		if ok, isNumber := positive[key]; isNumber && !ok {
			errs = append(errs, fmt.Errorf("%s: must be more than 0", c.name(key)))
		}
	}
	return errors.Join(errs...)
}

// logger writes logs to w as the settings say.
func (c *config) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, usageError(fmt.Errorf("%s: %q is not one of debug, info, warn, error", c.name("log.level"), c.LogLevel))
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "auto":
		if isTerminal(w) {
			return slog.New(slog.NewTextHandler(w, options)), nil
		}
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, usageError(fmt.Errorf("%s: %q is not one of text, json, auto", c.name("log.format"), c.LogFormat))
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
