package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"time"
	"unicode"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says where Redis is and how to talk to it. The zero value of a field means
// its default.
type Config struct {
	// Addr is host:port of a standalone server; default localhost:6379. With Cluster
	// or MasterName it may list several, separated by commas.
	Addr string
	// MasterName selects Sentinel: Addr lists the sentinels, and this is the name of
	// the master they watch.
	MasterName string
	// Cluster selects Redis Cluster: Addr lists some of its nodes. Prefix must then
	// contain a hash tag, such as "{argus}:", so that a script's keys share a slot.
	Cluster bool
	// Username is the ACL user; empty means the default user.
	Username string
	Password string
	// SentinelPassword is for the sentinels themselves.
	SentinelPassword string
	DB               int
	// Prefix is put in front of every key, as it is. One tenant, one prefix.
	Prefix string
	// Shards, if not 0, is the number of prefixes that the tenant's jobs are spread over:
	// of "argus:" these are "{argus:00}:", "{argus:01}:" … See Shards.
	Shards int
	// PoolSize is the number of connections for commands; default 10. Blocking reads
	// have connections of their own.
	PoolSize int
	// ReadTimeout and WriteTimeout bound one exchange with Redis; default 5 s.
	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	// TLS switches on TLS.
	TLS *tls.Config
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "localhost:6379"
	}
	if c.PoolSize == 0 {
		c.PoolSize = 10
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 5 * time.Second
	}
	if c.WriteTimeout == 0 {
		c.WriteTimeout = 5 * time.Second
	}
	return c
}

// Validate reports what is wrong with the settings, without connecting.
func (c Config) Validate() error {
	var errs []error
	if i := strings.IndexFunc(c.Prefix, func(r rune) bool { return unicode.IsControl(r) || strings.ContainsRune(`*?[]\`, r) }); i >= 0 {
		errs = append(errs, invalid("prefix", "must not contain control or glob characters (there is one at byte %d)", i))
	}
	if len(c.Prefix) > MaxNameBytes {
		errs = append(errs, invalid("prefix", "has %d bytes, at most %d are allowed", len(c.Prefix), MaxNameBytes))
	}
	if c.Shards < 0 || c.Shards > MaxShards {
		errs = append(errs, invalid("shards", "is %d, want 1 to %d, or 0 for one prefix as it is", c.Shards, MaxShards))
	}
	if c.Shards > 0 && strings.ContainsAny(shardBase(c.Prefix), "{}") {
		errs = append(errs, invalid("prefix", "must not contain braces inside: each shard puts its own around the whole of it"))
	}
	if c.Cluster && c.Shards == 0 && hashTag(c.Prefix) == "" {
		errs = append(errs, invalid("prefix", "Redis Cluster needs a hash tag in the prefix, so that the keys of a job share a slot: use %q instead of %q, or spread the jobs over several shards",
			"{"+strings.TrimSuffix(c.Prefix, ":")+"}:", c.Prefix))
	}
	if c.Cluster && c.MasterName != "" {
		errs = append(errs, invalid("cluster", "choose either Cluster or Sentinel"))
	}
	if c.Cluster && c.DB != 0 {
		errs = append(errs, invalid("db", "Redis Cluster has database 0 only"))
	}
	if c.DB < 0 {
		errs = append(errs, invalid("db", "must not be negative"))
	}
	if c.PoolSize < 0 {
		errs = append(errs, invalid("pool_size", "must be positive"))
	}
	if c.ReadTimeout < 0 || c.WriteTimeout < 0 {
		errs = append(errs, invalid("read_timeout", "time-outs must be positive"))
	}
	return errors.Join(errs...)
}

// bufferSize lets most batches go out and come in by one system call.
const bufferSize = 128 << 10

// options are the driver's settings. It must not retry by itself: a lost reply would
// make one XADD write two entries.
func (c Config) options() *goredis.UniversalOptions {
	return &goredis.UniversalOptions{
		Addrs:                    strings.Split(strings.ReplaceAll(c.Addr, " ", ""), ","),
		MasterName:               c.MasterName,
		IsClusterMode:            c.Cluster,
		Username:                 c.Username,
		Password:                 c.Password,
		SentinelPassword:         c.SentinelPassword,
		DB:                       c.DB,
		Protocol:                 2,
		PoolSize:                 c.PoolSize,
		PoolTimeout:              c.ReadTimeout,
		ReadTimeout:              c.ReadTimeout,
		WriteTimeout:             c.WriteTimeout,
		DialTimeout:              min(c.ReadTimeout, 2*time.Second),
		DialerRetries:            1,
		MaxRetries:               -1,
		ContextTimeoutEnabled:    true,
		TLSConfig:                c.TLS,
		DisableIdentity:          true,
		ReadBufferSize:           bufferSize,
		WriteBufferSize:          bufferSize,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// Client is a connection pool to one Redis, and a key prefix. It is safe for
// concurrent use.
type Client struct {
	config   Config
	keys     keys
	commands goredis.UniversalClient
	// blocking is for XREADGROUP BLOCK: such a read would starve the command pool.
	blocking goredis.UniversalClient
	// large is for large answers, which would hold up small ones on their connection. It has
	// few connections: more large answers at a time would hold up Redis.
	large goredis.UniversalClient
	// pipeliner is nil in Cluster, where the driver would repeat what was in a pipeline.
	pipeliner *pipeliner
	masters   *masters // nil without Sentinel
}

// NewClient connects and pings. It fails with ErrUnavailable within a few seconds
// when Redis is not there, and with an *ArgumentError for bad settings.
func NewClient(config Config) (*Client, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	blocking := config.options()
	blocking.PoolSize = 1000 // a ceiling; connections are made as loops need them
	large := config.options()
	large.PoolSize = largeReads
	client := &Client{config: config, keys: keys{config.Prefix}}
	if config.MasterName != "" {
		client.masters = newMasters(config)
	}
	client.commands, client.blocking, client.large = client.pool(config.options()), client.pool(blocking), client.pool(large)
	ctx, cancel := context.WithTimeout(context.Background(), config.ReadTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		_ = client.Close()
		return nil, err
	}
	if single, ok := client.commands.(*goredis.Client); ok {
		client.pipeliner = newPipeliner(single)
	}
	return client, nil
}

// pool is a client of the driver's.
func (c *Client) pool(options *goredis.UniversalOptions) goredis.UniversalClient {
	if c.masters != nil {
		return c.masters.client(options)
	}
	return goredis.NewUniversalClient(options)
}

// Ping asks Redis for a sign of life.
func (c *Client) Ping(ctx context.Context) error {
	return translate("ping", c.commands.Ping(ctx).Err(), repeatable)
}

// Set stores a value under the prefixed key; ttl 0 means that it does not expire.
func (c *Client) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	return translate("set", c.commands.Set(ctx, c.PrefixedKey(key), value, ttl).Err(), repeatable)
}

// Get reads the value under the prefixed key. A missing key is goredis.Nil.
func (c *Client) Get(ctx context.Context, key string) (string, error) {
	value, err := c.commands.Get(ctx, c.PrefixedKey(key)).Result()
	if errors.Is(err, goredis.Nil) {
		return "", err
	}
	return value, translate("get", err, repeatable)
}

// Close closes the connections.
func (c *Client) Close() error {
	if c.pipeliner != nil {
		c.pipeliner.close()
	}
	err := errors.Join(c.commands.Close(), c.blocking.Close(), c.large.Close())
	if c.masters != nil {
		c.masters.close()
	}
	return err
}

// withPrefix is the same client with another prefix. It shares the connections, which
// stay the original's to close.
func (c *Client) withPrefix(prefix string) *Client {
	other := *c
	other.config.Prefix, other.keys = prefix, keys{prefix}
	return &other
}

// Prefix is what every key begins with.
func (c *Client) Prefix() string { return c.keys.prefix }

// PrefixedKey is the key as it stands in Redis.
func (c *Client) PrefixedKey(key string) string { return c.keys.prefix + key }

// Redis is the driver's client, for commands that this package lacks. It adds no
// prefix.
func (c *Client) Redis() goredis.UniversalClient { return c.commands }

// onceCmd is a command that the driver must not repeat by itself. MaxRetries says so
// for a single server; in Cluster, where redirections need attempts, this does.
type onceCmd struct{ *goredis.Cmd }

func (onceCmd) NoRetry() bool { return true }

// do runs a command exactly as often as it is called.
func (c *Client) do(ctx context.Context, args ...any) (any, error) {
	if c.pipeliner != nil {
		cmd := goredis.NewCmd(ctx, args...)
		if err := c.pipeliner.do(ctx, cmd); err != nil {
			return nil, err
		}
		return cmd.Result()
	}
	cmd := onceCmd{goredis.NewCmd(ctx, args...)}
	_ = c.commands.Process(ctx, cmd)
	c.findMasters(ctx, cmd.Err())
	return cmd.Result()
}

// node is the client that a command without a key in its arguments goes to: in
// Cluster the master that has this prefix's slot.
func (c *Client) node(ctx context.Context) (goredis.Cmdable, error) {
	cluster, ok := c.commands.(*goredis.ClusterClient)
	if !ok {
		return c.commands, nil
	}
	master, err := cluster.MasterForKey(ctx, c.keys.prefix)
	if err != nil {
		return nil, translate("find node", err, repeatable)
	}
	return master, nil
}

// EvictionPolicy is Redis's maxmemory-policy, "" when Redis does not tell. Under an allkeys
// policy a full Redis deletes whole queues; under a volatile one what has a TTL, such as
// states, results, dead letters and request ids.
func (c *Client) EvictionPolicy(ctx context.Context) (string, error) {
	node, err := c.node(ctx)
	if err != nil {
		return "", err
	}
	// CONFIG GET would need a permission that also shows Redis's password.
	info, err := node.Info(ctx, "memory").Result()
	if err != nil {
		return "", translate("read the eviction policy", err, repeatable)
	}
	for line := range strings.Lines(info) {
		if policy, ok := strings.CutPrefix(line, "maxmemory_policy:"); ok {
			return strings.TrimSpace(policy), nil
		}
	}
	return "", nil
}
