// Package conn connects to Redis, a master that Sentinel names or a Cluster: pools, the batcher, the
// script runner, change notifications, and the one place where Redis's errors become ours.
package conn

import (
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// LargeReads is how many large replies are read at a time.
const LargeReads = 4

// Conn is a connection pool to one Redis, and a key prefix. It is safe for
// concurrent use.
type Conn struct {
	Config   Config
	Keys     job.Keys
	Commands goredis.UniversalClient
	// Blocking is for XREADGROUP BLOCK: such a read would starve the command pool.
	Blocking goredis.UniversalClient
	// Large is for large replies, which would delay small ones on their connection. It has few
	// connections: more large replies at a time would delay Redis.
	Large goredis.UniversalClient
	// Batcher sends what concurrent callers write, in few round trips.
	Batcher *Batcher
	masters *masters // nil without Sentinel
}

// Open connects and pings. It fails with ErrUnavailable within a few seconds when Redis can't be
// reached, and with an *ArgumentError for bad settings. The caller must close the Conn.
func Open(config Config) (*Conn, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, err
	}
	blocking := config.options()
	blocking.PoolSize = 1000 // a ceiling; connections are opened as loops need them
	large := config.options()
	large.PoolSize = LargeReads
	client := &Conn{Config: config, Keys: job.Keys{Prefix: config.Prefix}}
	if config.MasterName != "" {
		client.masters = newMasters(config)
	}
	client.Commands, client.Blocking, client.Large = client.pool(config.options()), client.pool(blocking), client.pool(large)
	client.Batcher = newBatcher(client.Commands, config.Prefix)
	ctx, cancel := context.WithTimeout(context.Background(), config.ReadTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

// pool returns a client of the driver.
func (c *Conn) pool(options *goredis.UniversalOptions) goredis.UniversalClient {
	if c.masters != nil {
		return c.masters.client(options)
	}
	return goredis.NewUniversalClient(options)
}

// Ping checks that Redis replies.
func (c *Conn) Ping(ctx context.Context) error {
	return Translate("ping", c.Commands.Ping(ctx).Err(), Repeatable)
}

// Close closes the connections.
func (c *Conn) Close() error {
	c.Batcher.close()
	err := errors.Join(c.Commands.Close(), c.Blocking.Close(), c.Large.Close())
	if c.masters != nil {
		c.masters.close()
	}
	return err
}

// withPrefix returns a Conn with another prefix. It shares the connections, which the original
// owns: only that one may be closed.
func (c *Conn) withPrefix(prefix string) *Conn {
	other := *c
	other.Config.Prefix, other.Keys, other.Batcher = prefix, job.Keys{Prefix: prefix}, c.Batcher.withPrefix(prefix)
	return &other
}

// Do runs a command exactly as often as it is called. The error is the driver's: see Translate.
func (c *Conn) Do(ctx context.Context, args ...any) (any, error) {
	cmd := goredis.NewCmd(ctx, args...)
	if err := c.Batcher.Do(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Result()
}

// Node returns the client for commands that have no key in their arguments: in Cluster the master
// of the prefix's slot.
func (c *Conn) Node(ctx context.Context) (goredis.Cmdable, error) {
	cluster, ok := c.Commands.(*goredis.ClusterClient)
	if !ok {
		return c.Commands, nil
	}
	master, err := cluster.MasterForKey(ctx, c.Keys.Prefix)
	if err != nil {
		return nil, Translate("find node", err, Repeatable)
	}
	return master, nil
}

// Shard returns the Conn of a shard. It shares the connections, which stay the original's to close.
func (c *Conn) Shard(i int) *Conn {
	return c.withPrefix(fmt.Sprintf("{%s:%02d}:", job.ShardBase(c.Config.Prefix), i))
}
