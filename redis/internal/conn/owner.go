package conn

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// owner returns the address of the node that has the keys, "" without Cluster.
func (c *Conn) owner(ctx context.Context) (string, error) {
	cluster, ok := c.Commands.(*goredis.ClusterClient)
	if !ok {
		return "", nil
	}
	master, err := cluster.MasterForKey(ctx, c.Keys.Prefix)
	if err != nil {
		return "", Translate("find node", err, Repeatable)
	}
	return master.Options().Addr, nil
}

// checkPeriod is how often KeepToOwner checks which node has the keys.
const checkPeriod = 2 * time.Second

// KeepToOwner ends a tracker in Cluster when another node has the keys, or none can be found. It
// blocks until then or until ctx ends, and returns at once without Cluster: with Sentinel, the
// connections to a former master are closed.
func (c *Conn) KeepToOwner(ctx context.Context, t *Tracker) {
	for t.addr != "" && Pause(ctx, checkPeriod) {
		addr, err := c.owner(ctx)
		if err == nil && addr != t.addr {
			err = ErrTrackerBroken
		}
		if err != nil {
			t.Fail(err)
			return
		}
	}
}
