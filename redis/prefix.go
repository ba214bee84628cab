package redis

import (
	"context"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// Under the prefix "prod:" a queue may be called "eu:nightly", and its stream is then the one of
// the queue "nightly" under the prefix "prod:eu:". So no prefix may begin another one. That a
// prefix is in use is seen by its set of known queues: a queue can't have that key, because
// CheckQueue reserves the names of our key families between colons.

// prefixScans is how many pages of keys are looked at when a server starts.
const prefixScans = 10

// CheckPrefix fails with an *ArgumentError when the client's prefix, or one of its shards',
// begins another one that is in use in this Redis, or is begun by one. It looks at a bounded
// number of keys; a broker goes on looking, and logs what it finds.
func (c *Client) CheckPrefix(ctx context.Context) error {
	if c.config.Shards == 0 {
		return c.checkPrefix(ctx)
	}
	for i := range c.config.Shards {
		if err := c.shard(i).checkPrefix(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) checkPrefix(ctx context.Context) error {
	other, err := c.outerPrefix(ctx)
	if err == nil && other == nil {
		other, err = c.innerPrefix(ctx)
	}
	if err != nil || other == nil {
		return err
	}
	return invalid("prefix", "is %q, and %q is in use in this Redis: queues of the one could be reached under the other; use a prefix that neither begins the other nor is begun by it, or another database", c.keys.prefix, *other)
}

// outerPrefix finds a prefix in use that begins this one, nil when there is none. What an ACL
// does not let it see is kept apart by that ACL.
func (c *Client) outerPrefix(ctx context.Context) (*string, error) {
	pipe := c.commands.Pipeline()
	var inUse []*goredis.IntCmd
	for n := range len(c.keys.prefix) {
		inUse = append(inUse, pipe.Exists(ctx, keys{c.keys.prefix[:n]}.queues()))
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	for n, exists := range inUse {
		if err := exists.Err(); err != nil && !isDenied(err) {
			return nil, translate("check the prefix", err, repeatable)
		}
		if exists.Val() > 0 {
			outer := c.keys.prefix[:n]
			return &outer, nil
		}
	}
	return nil, nil
}

// innerPrefix looks for a prefix in use that this one begins, nil when none is found.
func (c *Client) innerPrefix(ctx context.Context) (*string, error) {
	node, err := c.node(ctx)
	if err != nil {
		return nil, err
	}
	for cursor, n := uint64(0), 0; n < prefixScans; n++ {
		found, next, err := node.ScanType(ctx, cursor, c.keys.innerPattern(), scanCount, "set").Result()
		if isDenied(err) {
			return nil, nil
		}
		if err != nil {
			return nil, translate("check the prefix", err, repeatable)
		}
		if inner := c.keys.innerPrefixes(found); len(inner) > 0 {
			return &inner[0], nil
		}
		if cursor = next; next == 0 {
			break
		}
	}
	return nil, nil
}

// innerPattern is a SCAN pattern for the sets of known queues of prefixes that this one begins.
func (k keys) innerPattern() string { return globEscape(k.prefix) + "*" + globEscape(keys{}.queues()) }

// innerPrefixes are the prefixes of such sets, without this one.
func (k keys) innerPrefixes(found []string) []string {
	var inner []string
	for _, key := range found {
		if prefix := strings.TrimSuffix(key, keys{}.queues()); prefix != k.prefix && !slices.Contains(inner, prefix) {
			inner = append(inner, prefix)
		}
	}
	return inner
}
