package admin

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Under the prefix "prod:" a queue may be called "eu:nightly", and its stream is then the one of
// the queue "nightly" under the prefix "prod:eu:". So no prefix may begin another one. A
// prefix is in use if its set of known queues exists: a queue can't have that key, because
// CheckQueue reserves the names of our key families between colons.

// prefixScans is how many pages of keys are read when a server starts.
const prefixScans = 10

// CheckPrefix fails with an *ArgumentError when the client's prefix, or one of its shards',
// begins another one that is in use in this Redis, or begins with one. It reads a bounded
// number of keys; the cleaner continues the search, and logs what it finds.
func CheckPrefix(ctx context.Context, client *redis.Client) error {
	c := client.Conn()
	if c.Config.Shards == 0 {
		return checkPrefix(ctx, c)
	}
	for i := range c.Config.Shards {
		if err := checkPrefix(ctx, c.Shard(i)); err != nil {
			return err
		}
	}
	return nil
}

// checkPrefix checks one prefix.
func checkPrefix(ctx context.Context, c *conn.Conn) error {
	other, err := outerPrefix(ctx, c)
	if err == nil && other == nil {
		other, err = innerPrefix(ctx, c)
	}
	if err != nil || other == nil {
		return err
	}
	return job.Invalid("prefix", "is %q, and %q is in use in this Redis: queues of the one could be reached under the other; use a prefix that neither begins the other nor is begun by it, or another database", c.Keys.Prefix, *other)
}

// outerPrefix finds a prefix in use that begins this one, nil when there is none. A prefix that the ACL
// denies is separated by that ACL.
func outerPrefix(ctx context.Context, c *conn.Conn) (*string, error) {
	pipe := c.Commands.Pipeline()
	var inUse []*goredis.IntCmd
	for n := range len(c.Keys.Prefix) {
		inUse = append(inUse, pipe.Exists(ctx, job.Keys{Prefix: c.Keys.Prefix[:n]}.Tenant().Queues()))
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	for n, exists := range inUse {
		if err := exists.Err(); err != nil && !isDenied(err) {
			return nil, conn.Translate("check the prefix", err, conn.Repeatable)
		}
		if exists.Val() > 0 {
			outer := c.Keys.Prefix[:n]
			return &outer, nil
		}
	}
	return nil, nil
}

// innerPrefix searches for a prefix in use that this one begins, nil when none is found.
func innerPrefix(ctx context.Context, c *conn.Conn) (*string, error) {
	node, err := c.Node(ctx)
	if err != nil {
		return nil, err
	}
	for cursor, n := uint64(0), 0; n < prefixScans; n++ {
		found, next, err := node.ScanType(ctx, cursor, c.Keys.Tenant().InnerPattern(), conn.ScanCount, "set").Result()
		if isDenied(err) {
			return nil, nil
		}
		if err != nil {
			return nil, conn.Translate("check the prefix", err, conn.Repeatable)
		}
		if inner := c.Keys.Tenant().InnerPrefixes(found); len(inner) > 0 {
			return &inner[0], nil
		}
		if cursor = next; next == 0 {
			break
		}
	}
	return nil, nil
}
