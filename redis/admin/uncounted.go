package admin

import (
	"context"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// removeUncounted removes the numbers of uncounted deliveries of entries that are settled, and renews the TTL
// of the others.
func (c *Cleaner) removeUncounted(ctx context.Context, name string) error {
	for cursor := uint64(0); ; {
		list, next, err := c.Commands.HScan(ctx, c.Keys.Uncounted(name), cursor, "", conn.ScanCount).Result()
		if err == nil {
			err = c.removeSettled(ctx, name, list)
		}
		if err != nil {
			return conn.Translate("remove uncounted deliveries", err, conn.Repeatable)
		}
		if cursor = next; next == 0 {
			return nil
		}
	}
}

// removeSettled removes those of a page of uncounted deliveries whose entries are settled. The page is
// field, value, …
func (c *Cleaner) removeSettled(ctx context.Context, name string, page []string) error {
	pipe := c.Commands.Pipeline()
	pending := make(map[string]*goredis.XPendingExtCmd)
	for i := 0; i+1 < len(page); i += 2 {
		group, id, ok := splitUncounted(page[i])
		if ok {
			pending[page[i]] = pipe.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: c.Keys.Tasks(name), Group: group, Start: id, End: id, Count: 1})
		}
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	for field, reply := range pending {
		if conn.IsNoKey(reply.Err()) || reply.Err() == nil && len(reply.Val()) == 0 {
			pipe.HDel(ctx, c.Keys.Uncounted(name), field)
		}
	}
	pipe.PExpire(ctx, c.Keys.Uncounted(name), queue.UncountedTTL)
	_, err := pipe.Exec(ctx)
	return err
}

// splitUncounted reads a field of the uncounted deliveries: the group and the entry.
func splitUncounted(field string) (group, id string, ok bool) {
	space := strings.LastIndex(field, " ")
	if space < 0 {
		return "", "", false
	}
	return field[:space], field[space+1:], true
}
