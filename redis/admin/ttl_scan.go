package admin

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// scanPages is how many pages of keys are read in each period.
const scanPages = 20

// ttlScan is the position of the search for keys without a TTL.
type ttlScan struct {
	family int
	cursor uint64
}

// keyFamily is a family of keys that the cleaner reads.
type keyFamily struct {
	pattern string
	kind    string // type of the keys
	visit   func(ctx context.Context, keys []string) error
}

// scannedFamilies are the families of keys to which raw peers add keys without a TTL, and the keys that show
// other tenants.
func (c *Cleaner) scannedFamilies() []keyFamily {
	return []keyFamily{
		{c.Keys.StatePattern(), "hash", func(ctx context.Context, keys []string) error { return c.expireKeys(ctx, keys, c.Settings.StateTTL) }},
		{job.GlobEscape(c.Keys.Completion("")) + "*", "stream", func(ctx context.Context, keys []string) error {
			return c.expireKeys(ctx, keys, c.Settings.CompletionTTL)
		}},
		{c.Keys.Tenant().InnerPattern(), "set", c.warnInnerPrefixes},
	}
}

// scanKeys gives states and completion streams that raw peers created without a TTL the TTL of
// the settings, and warns of prefixes that begin with this one. It reads a number of pages of keys
// and continues there at the next call; done is true at the end.
func (c *Cleaner) scanKeys(ctx context.Context, s *ttlScan, pages int) (done bool, err error) {
	node, err := c.Node(ctx)
	if err != nil {
		return false, err
	}
	families := c.scannedFamilies()
	for range pages {
		family := families[s.family]
		keys, next, err := node.ScanType(ctx, s.cursor, family.pattern, conn.ScanCount, family.kind).Result()
		if err != nil {
			return false, conn.Translate("scan the keys", err, conn.Repeatable)
		}
		if err := family.visit(ctx, keys); err != nil {
			return false, err
		}
		s.cursor = next
		if next == 0 {
			s.family++
		}
		if s.family == len(families) {
			*s = ttlScan{}
			return true, nil
		}
	}
	return false, nil
}

// warnInnerPrefixes warns of other tenants whose keys the queues of this one can reach.
func (c *Cleaner) warnInnerPrefixes(_ context.Context, found []string) error {
	for _, prefix := range c.Keys.Tenant().InnerPrefixes(found) {
		if c.registry.Known.Warned.Due(prefix) {
			c.Log.Error("another prefix begins with this one, so queues of the one can be reached under the other: give it another prefix or database",
				"prefix", c.Keys.Prefix, "other_prefix", prefix)
		}
	}
	return nil
}

// expireKeys gives a TTL to those of some keys that have none.
func (c *Cleaner) expireKeys(ctx context.Context, keys []string, ttl time.Duration) error {
	if len(keys) == 0 {
		return nil
	}
	pipe := c.Commands.Pipeline()
	ttls := make([]*goredis.DurationCmd, len(keys))
	for i, key := range keys {
		ttls[i] = pipe.PTTL(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return conn.Translate("read TTLs", err, conn.Repeatable)
	}
	for i, key := range keys {
		if ttls[i].Val() == -1 {
			pipe.PExpire(ctx, key, ttl)
		}
	}
	_, err := pipe.Exec(ctx)
	return conn.Translate("expire", err, conn.Repeatable)
}
