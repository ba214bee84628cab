package serve

import (
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// newConfig declares the settings. Each is written in this file, and nowhere else.
func newConfig(flags *pflag.FlagSet) *config {
	c := &config{settings: settings.New(flags, "config", "YAML file with settings")}
	c.declareServer()
	c.declareRedis()
	c.declareBroker()
	c.settings.Section("queues", c.readQueues)
	return c
}

// declareServer declares the settings of the server.
func (c *config) declareServer() {
	s := c.settings
	s.Text(&c.GRPCAddr, "grpc_addr", settings.DefaultAddr, "address for gRPC, host:port")
	s.Text(&c.HTTPAddr, "http_addr", "", "address for HTTP, host:port: /metrics for Prometheus, /healthz; empty means none")
	s.Toggle(&c.HTTPPprof, "http_pprof", false, "serve Go's profiles on http_addr, under /debug/pprof/; on loopback only")
	s.Number(&c.MaxConnections, "max_connections", 10000, "maximum number of connected clients; more are refused")
	s.Number(&c.MaxConnectionsPerPeer, "max_connections_per_peer", 5000, "maximum number of connected clients of one address (IPv6: one /64 network); more are refused")
	s.Number(&c.MaxCalls, "max_calls", 100000, "maximum number of concurrent calls, with streams; more are refused")
	s.Number(&c.MaxWatchedJobs, "max_watched_jobs", 1000000, "maximum number of jobs that all streams together watch; more are refused")
	s.Duration(&c.MaxWait, "max_wait", time.Minute, "maximum time that a Read or an Await waits")
	s.Duration(&c.ShutdownTimeout, "shutdown_timeout", 10*time.Second, "how long calls may take to finish on shutdown")
	s.Text(&c.LogLevel, "log.level", "info", "debug, info, warn or error; debug logs every call")
	s.Text(&c.LogFormat, "log.format", "auto", "text, json, or auto: text on a terminal")
}

// declareRedis declares the settings of the connection to Redis.
func (c *config) declareRedis() {
	s, r := c.settings, &c.Redis
	s.Toggle(&r.Enabled, "redis.enabled", true, "use Redis; false means an in-memory store that is lost on exit")
	s.Text(&r.Addr, "redis.addr", "localhost:6379", "Redis, host:port; several, separated by commas, for Cluster or Sentinel")
	s.Text(&r.Username, "redis.username", "", "ACL user")
	s.Text(&r.Password, "redis.password", "", "password; better in a file")
	s.Text(&r.PasswordFile, "redis.password_file", "", "file with the password")
	s.Number(&r.DB, "redis.db", 0, "database number")
	s.Text(&r.Prefix, "redis.prefix", "argus:", "prefix of every key; Cluster needs a hash tag, such as {argus}:, or shards")
	s.Number(&r.Shards, "redis.shards", 0, "number of prefixes, such as {argus:00}:, over which the jobs are spread, and so over the masters of a Cluster; fixed at the first start; 0 means the single prefix of redis.prefix")
	s.Number(&r.PoolSize, "redis.pool_size", 10, "connections for commands")
	s.Duration(&r.ReadTimeout, "redis.read_timeout", 5*time.Second, "maximum time until a reply")
	s.Duration(&r.WriteTimeout, "redis.write_timeout", 5*time.Second, "maximum time to send a command")
	s.Toggle(&r.Cluster, "redis.cluster", false, "the addresses are nodes of a Redis Cluster")
	s.Text(&r.MasterName, "redis.sentinel_master", "", "the addresses are sentinels, and this is their master's name")
	s.Text(&r.SentinelPassword, "redis.sentinel_password", "", "the sentinels' password; better in a file")
	s.Text(&r.SentinelPasswordFile, "redis.sentinel_password_file", "", "file with the sentinels' password")
	r.TLS.Declare(s, "redis.")
}

// declareBroker declares the settings of queues, states and results.
func (c *config) declareBroker() {
	s, b := c.settings, &c.Broker
	s.Text(&b.DefaultQueue, "queue", job.DefaultQueue, "the queue of calls that name none")
	s.Text(&b.DefaultGroup, "group", job.DefaultGroup, "the consumer group of calls that name none")
	s.List(&c.groups, "groups", "consumer groups, beside group, for which tasks are kept and which may read, separated by commas; any: a reader creates the group that it names")
	s.Text(&c.encoding, "encoding", string(job.EncodingFields), "format of tasks in Redis: fields, or json for other programs that read one field, data")
	s.Duration(&b.Queue.Lease, "lease", job.DefaultLease, "time in which a worker must settle a task or extend its lease")
	s.Number(&b.Queue.MaxAttempts, "max_attempts", 10, "number of attempts that are requeued before a task is a dead letter")
	s.Number(&b.Queue.MaxCrashes, "max_crashes", 10, "number of expired leases before a task is a dead letter")
	s.Duration(&b.Queue.RetryMin, "retry_min", time.Second, "longest delay of a task that was requeued once, half of it at least; doubles each time")
	s.Duration(&b.Queue.RetryMax, "retry_max", 10*time.Minute, "maximum delay of a task that was requeued")
	s.Number(&b.Queue.MaxLength, "max_length", 0, "maximum number of tasks in a queue, waiting, delayed and leased; 0 means no limit")
	s.Number(&b.MaxQueues, "max_queues", job.DefaultMaxQueues, "maximum number of queues; those that the settings name are not refused")
	s.Number(&b.Queue.WaitReplicas, "wait_replicas", 0, "replicas that must confirm a publish or a result before it is acknowledged; 0 disables")
	s.Duration(&b.Queue.WaitTimeout, "wait_timeout", time.Second, "maximum time to wait for them, at most half of redis.read_timeout; then the call fails; repeat it")
	s.Duration(&b.StateTTL, "state_ttl", job.DefaultStateTTL, "how long a job's state is kept")
	s.Duration(&b.CompletionTTL, "completion_ttl", job.DefaultStateTTL, "how long a job's completion events are kept")
	s.Number(&b.EventBytes, "event_bytes", job.DefaultEventBytes, "maximum size in bytes of a job's events before its terminal one")
	s.Duration(&b.RequestWindow, "request_window", 24*time.Hour, "how long a request_id is remembered after the last call with it")
	s.Duration(&b.DeadLetterTTL, "dead_letter_ttl", 30*24*time.Hour, "how long dead letters are kept")
}

// readQueues reads the YAML section queues: settings of single queues.
func (c *config) readQueues(text []byte) error {
	return yaml.UnmarshalWithOptions(text, &c.Broker.Queues, yaml.Strict())
}
