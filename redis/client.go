package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// Client is a connection pool to one Redis with a key prefix. It is safe for concurrent use.
type Client struct{ conn *conn.Conn }

// NewClient connects and pings. It fails with ErrUnavailable within a few seconds when Redis is unreachable,
// and with an *ArgumentError for bad settings. The caller closes the client.
func NewClient(config Config) (*Client, error) {
	c, err := conn.Open(conn.Config(config))
	if err != nil {
		return nil, err
	}
	return &Client{c}, nil
}

// Ping checks that Redis answers.
func (c *Client) Ping(ctx context.Context) error { return c.conn.Ping(ctx) }

// Set stores a value under the prefixed key. With ttl 0 it does not expire.
func (c *Client) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	return conn.Translate("set", c.Redis().Set(ctx, c.PrefixedKey(key), value, ttl).Err(), conn.Repeatable)
}

// Get returns the value under the prefixed key, or goredis.Nil when there is none.
func (c *Client) Get(ctx context.Context, key string) (string, error) {
	value, err := c.Redis().Get(ctx, c.PrefixedKey(key)).Result()
	if errors.Is(err, goredis.Nil) {
		return "", err
	}
	return value, conn.Translate("get", err, conn.Repeatable)
}

// Close closes all connections.
func (c *Client) Close() error { return c.conn.Close() }

// Prefix returns what every key begins with.
func (c *Client) Prefix() string { return c.conn.Keys.Prefix }

// PrefixedKey returns the key as it stands in Redis.
func (c *Client) PrefixedKey(key string) string { return c.Prefix() + key }

// Redis returns the driver's client, for commands that this package lacks. It adds no prefix.
func (c *Client) Redis() goredis.UniversalClient { return c.conn.Commands }

// Conn returns the connection, for the packages of the engine.
func (c *Client) Conn() *conn.Conn { return c.conn }
